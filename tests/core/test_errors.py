"""How messages count."""

import pytest

from etc.core.errors import many


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1, "clip"), "1 clip"),
        ((0, "clip"), "0 clips"),
        ((2, "class", "classes"), "2 classes"),
        ((1, "file is", "files are"), "1 file is"),
        ((1234, "pair", "", ","), "1,234 pairs"),
    ],
)
def test_the_words_follow_the_number(arguments, text):
    assert many(*arguments) == text
