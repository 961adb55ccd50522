"""Every complaint about a parameter file names the file, the key, the value and what is allowed."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from etc.core.errors import UserError
from etc.core.names import Name
from etc.core.params_file import FromList, Params, WholeNumber, blocks, load_block, load_file


class Inner(Params):
    rate: float = Field(gt=0, le=10)


class Outer(Params):
    count: int = Field(ge=1)
    inner: Inner
    named: dict[Name, Inner] = {}
    name: str | None = None
    scale: Annotated[Literal[1, 2], WholeNumber] = 1
    on: bool = True
    sides: Annotated[tuple[int, ...], FromList] = ()


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
        ("street:\n  count: 3\n  inner: {rte: 0.5}\n", ["street.inner.rte", "0.5", "unknown", "did you mean 'rate'?"]),
        ("street:\n  count: 3\n  inner: {way: 0.5}\n", ["street.inner.way", "0.5", "unknown", "allowed here: rate"]),
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


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("count", ["true", "1.0", "'3'", "yes", "1e2", "2001-01-01", "[1]", "null"]),
        ("rate", ["true", "'0.5'", "on", ".nan", ".inf", "1" * 400, "0.5.1"]),
        ("name", ["1", "true", "1e5", "2001-01-01", "[a]"]),
        ("scale", ["true", "1.0", "'1'", "3"]),
        ("on", ["1", "0", "yes", "'true'", "on", "null"]),
        ("sides", ["[1, true]", "[1.0]", "['1']", "1", "{a: 1}"]),
    ],
)
def test_a_value_has_the_type_that_yaml_gives_it(tmp_path, key, values):
    block = {"count": "3", "rate": "0.5"}
    for value in values:
        block[key] = value
        inner = block.pop("rate", "0.5")
        given = "".join(f"  {name}: {one}\n" for name, one in block.items())
        with pytest.raises(UserError, match=key) as complaint:
            load_block(write(tmp_path, f"street:\n{given}  inner: {{rate: {inner}}}\n"), "street", Outer)
        assert "\n" not in str(complaint.value) and len(str(complaint.value)) < 500, value


def test_whole_numbers_may_be_given_where_any_number_may_and_lists_where_tuples_are(tmp_path):
    block = load_block(write(tmp_path, "street: {count: 010, inner: {rate: 1}, sides: [8, 8]}"), "street", Outer)
    assert (block.count, block.inner.rate, type(block.inner.rate), block.sides) == (10, 1.0, float, (8, 8))


@pytest.mark.parametrize("name", ["a-b", "a b", "1a", "_a", "", "../a", "a;b", "$(a)", "a.b", "ä", "a\\n", "a" * 51])
def test_a_name_that_a_shell_or_path_could_misread_is_refused(tmp_path, name):
    file = write(
        tmp_path, f'street: {{count: 1, inner: {{rate: 1}}, named: {{"{name}": {{rate: 1}}}}}}\n"{name}": {{}}\n'
    )
    with pytest.raises(
        UserError, match="key 'street.named' = .*: use only letters, digits and '_', with a letter first"
    ):
        load_block(file, "street", Outer)
    with pytest.raises(UserError, match="cannot be the name of a data set: use only letters|no block"):
        load_block(file, name.replace("\\n", "\n"), Outer)


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
