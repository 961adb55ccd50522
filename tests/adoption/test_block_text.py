"""Copying a block and changing values in the text of a YAML file."""

import pytest
import yaml

from etc.adoption.block_text import NotAsTextError, shown, with_block, with_values

TEXT = """\
# The file.

a:  # the first
  # Speed.
  speed: 1.5  # m/s
  inner:
    weights: [1, 2,
      3]  # each
  list:
  - x
  - y

  last: {deep: 1}

# About b.
b: {speed: 2, inner: {weights: null}}
"""


def test_a_copy_stands_at_the_end_with_its_comments():
    found = with_block(TEXT, "a", "c", "Like a.", {})
    middle = TEXT[TEXT.index("a:") + 1 : TEXT.index("\n# About b.")]
    assert found == TEXT + "\n# Like a.\nc" + middle


@pytest.mark.parametrize(
    ("values", "old", "new"),
    [
        ({("speed",): 2.0}, "speed: 1.5  # m/s", "speed: 2.0  # m/s"),
        ({("inner", "weights"): None}, "weights: [1, 2,\n      3]  # each", "weights: null  # each"),
        ({("list",): ["z"]}, "list:\n  - x\n  - y\n", "list: [z]\n"),
        ({("last", "deep"): "0123"}, "{deep: 1}", "{deep: '0123'}"),
        ({("one",): 1, ("two",): 2}, "the first\n", "the first\n  one: 1\n  two: 2\n"),
        ({("inner", "new"): True}, "inner:\n", "inner:\n    new: true\n"),
        ({("last", "new"): 5}, "{deep", "{new: 5, deep"),
    ],
)
def test_values_of_the_copy_change_and_nothing_else(values, old, new):
    plain = with_block(TEXT, "a", "c", "Like a.", {})
    found = with_block(TEXT, "a", "c", "Like a.", values)
    assert old in plain[len(TEXT) :]
    assert found == TEXT + plain[len(TEXT) :].replace(old, new, 1)


def test_values_in_several_places_change_at_once():
    values = {("speed",): 3, ("last", "deep"): 4, ("list",): ["z"]}
    found = yaml.safe_load(with_block(TEXT, "a", "c", "Like a.", values))
    old = yaml.safe_load(TEXT)
    assert found == {**old, "c": {**old["a"], "speed": 3, "last": {"deep": 4}, "list": ["z"]}}


def test_a_block_in_braces_is_copied_too():
    found = with_block(TEXT, "b", "c", "Like b.", {("inner", "weights"): [1.0], ("new",): "x y"})
    assert found == TEXT + "\n# Like b.\nc: {new: 'x y', speed: 2, inner: {weights: [1.0]}}\n"


def test_the_last_block_may_end_without_a_line_end_or_with_comments():
    assert with_block("a:\n  x: 1", "a", "b", "L", {}) == "a:\n  x: 1\n\n# L\nb:\n  x: 1\n"
    assert with_block("a:\n  x: 1\n\n# end\n", "a", "b", "L", {}) == "a:\n  x: 1\n\n# end\n\n# L\nb:\n  x: 1\n"


def test_line_ends_of_windows_stay():
    text = TEXT.replace("\n", "\r\n")
    found = with_block(text, "a", "c", "Like a.", {("new",): 1})
    assert found == with_block(TEXT, "a", "c", "Like a.", {("new",): 1}).replace("\n", "\r\n")


def test_a_value_at_the_top_keeps_its_comments():
    text = "# Which.\nrun: [street]  # names\nother:\n- 1\n"
    assert with_values(text, {("run",): ["a", "b"]}) == "# Which.\nrun: [a, b]  # names\nother:\n- 1\n"
    assert with_values("run:\n- street\n\nother: 1\n", {("run",): ["a"]}) == "run: [a]\n\nother: 1\n"
    assert with_values("run:\nother: 1\n", {("run",): ["a"]}) == "run: [a]\nother: 1\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{a: {x: 1}}\n", {}),
        ("a: &one {x: 1}\n", {}),
        ("base: &one {x: 1}\na: *one\n", {}),
        ("a:\n  x: &one [1]\n  y: *one\n", {("y",): None}),
        ("a: 1\n", {("x", "y"): 2}),
        ("a:\n  x: 1\n", {("y", "z"): 2}),
        ("a:\n  x: 1\n...\n", {}),
    ],
)
def test_what_cannot_be_edited_as_text_is_refused(text, values):
    yaml.safe_load(text)
    with pytest.raises(NotAsTextError):
        with_block(text, "a", "c", "Like a.", values)


@pytest.mark.parametrize(
    "value", ["0123", "12e45", "yes", "null", "a b", "it's", "data/street", "1e5", "", [1, "no"], 1.0, None]
)
def test_a_value_is_read_back_as_it_is(value):
    assert yaml.safe_load(f"key: {shown(value)}") == {"key": value}
