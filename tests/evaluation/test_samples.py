"""Lists of clips."""

from itertools import groupby

import pytest

from etc.core.errors import UserError
from etc.evaluation.samples import Snippet, clip_list, random_share, select, snippet


def test_the_list_of_the_paper():
    """Section 4.1: 108 validation clips; 56 of frankfurt, 20 of lindau, 32 of munster."""
    names = clip_list("cityscapes_tc")
    cities = {city: len(list(group)) for city, group in groupby(sorted(names), lambda name: name.split("_")[0])}
    assert cities == {"frankfurt": 56, "lindau": 20, "munster": 32}
    windows = [snippet(name) for name in names]
    assert {window.last - window.first for window in windows} == {29}
    for one, after in zip(sorted(windows), sorted(windows)[1:], strict=False):
        assert one.video != after.video or one.last < after.first


def test_an_annotated_frame_is_the_twentieth_of_its_clip():
    assert snippet("frankfurt_000001_047552") == Snippet("frankfurt_000001", 47533, 47562)
    assert snippet("0016E5") is None and snippet("ulm_000001") is None


def test_a_text_file_of_names(tmp_path):
    path = tmp_path / "clips.txt"
    path.write_text("# mine\nb\n\na  # the first\n")
    assert clip_list(str(path)) == ["b", "a"]
    assert select("cab", clip_list(str(path)), "list") == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\n# nothing\n", "names no clip"), (b"a\nb\na\n", "a twice"), (b"\xff\xfe", "not text")],
)
def test_bad_lists_are_named(tmp_path, content, message):
    path = tmp_path / "clips.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"clips.txt.*{message}"):
        clip_list(str(path))


@pytest.mark.parametrize("source", ["/dev/zero", "."])
def test_a_list_that_is_no_regular_file_is_not_read(source):
    with pytest.raises(UserError, match=f"{source}: not a regular file"):
        clip_list(source)


def test_a_list_that_is_not_there():
    with pytest.raises(UserError, match="nowhere: neither a bundled list of clips"):
        clip_list("nowhere")


def test_shares_do_not_depend_on_the_order_of_names():
    names = [f"{number:02d}" for number in range(50)]
    assert random_share(names, 0.2, 1) == random_share(reversed(names), 0.2, 1) != random_share(names, 0.2, 2)
    assert len(random_share(names, 0.2, 1)) == 10 and random_share([], 0.5, 0) == []


def test_a_list_saved_on_windows_names_the_same_clips(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfwalk\r\nride\r\n")
    assert clip_list(str(tmp_path / "list.txt")) == ["walk", "ride"]
