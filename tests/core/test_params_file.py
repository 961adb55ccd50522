"""Every complaint about a parameter file names the file, the key, the value and what is allowed."""

import pytest
from pydantic import Field

from etc.core.errors import UserError
from etc.core.params_file import Params, blocks, load_block, load_file


class Inner(Params):
    rate: float = Field(gt=0, le=10)


class Outer(Params):
    count: int = Field(ge=1)
    inner: Inner
    named: dict[str, Inner] = {}


GOOD = "street:\n  count: 3\n  inner: {rate: 0.5}\n"


def write(path, text):
    file = path / "student.yaml"
    file.write_text(text)
    return file


def test_block_is_read(tmp_path):
    block = load_block(write(tmp_path, GOOD), "street", Outer)
    assert (block.count, block.inner.rate) == (3, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("street:\n  count: 3\n  inner: {rte: 0.5}\n", ["street.inner.rte", "0.5", "unknown", "allowed here: rate"]),
        ("street:\n  count: 0\n  inner: {rate: 0.5}\n", ["street.count", "= 0", ">= 1"]),
        ("street:\n  count: 3\n  inner: {rate: 11}\n", ["street.inner.rate", "= 11", "> 0", "<= 10"]),
        ("street:\n  count: 3\n  inner: {rate: 1}\n  named: {a: {rate: -1}}\n", ["street.named.a.rate", "= -1"]),
        ("street:\n  count: many\n  inner: {rate: 1}\n", ["street.count", "'many'", "integer"]),
        ("street:\n  inner: {rate: 1}\n", ["street.count", "missing"]),
        ("street: 5\n", ["'street'", "expected keys and values", "5"]),
        ("camvid: {}\n", ["no block for data set 'street'", "camvid"]),
        ("street: [\n", ["not readable as YAML"]),
        ("- a\n", ["expected keys and values", "list"]),
    ],
)
def test_a_complaint_is_one_line_that_names_everything(tmp_path, text, words):
    with pytest.raises(UserError) as complaint:
        load_block(write(tmp_path, text), "street", Outer)
    message = str(complaint.value)
    assert "student.yaml" in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_two_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(UserError, match="street.count.*street.other"):
        load_block(write(tmp_path, "street:\n  count: 0\n  other: 1\n  inner: {rate: 1}\n"), "street", Outer)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="student.yaml: no such file"):
        load_file(tmp_path / "student.yaml", Outer)


def test_a_block_takes_shared_values_and_the_shared_block_is_no_data_set(tmp_path):
    shared = ".shared:\n  block: &block {count: 3}\n  inner: &inner {rate: 0.5}\n"
    file = write(tmp_path, shared + "street:\n  <<: *block\n  inner: {<<: *inner, rate: 2}\n")
    block = load_block(file, "street", Outer)
    assert (block.count, block.inner.rate) == (3, 2)
    assert blocks(file) == ["street"]
    with pytest.raises(UserError, match="no block for data set '.shared'; .* that of 'street'"):
        load_block(file, ".shared", Outer)
