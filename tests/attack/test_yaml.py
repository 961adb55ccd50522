"""Parameter files as nobody should write them: read as DVC reads them, or refused with one line."""

import os
import random
from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml

from etc.core.errors import UserError
from etc.core.params_file import load_block, parse
from etc.params import experiment, teacher

ROOT = Path(__file__).parents[2]
SCALARS = """
    0 1 -1 +1 010 08 0o10 0o8 0x1F 0b11 1_000 1e3 1e-3 1.e3 1E+2 12e03 0016E5 .5 5. -.5 1.0 1.0e-4 .inf -.inf .nan 1:30
    true True TRUE false yes Yes no on off y n null Null ~ none 2001-01-01 2001-01-01T10:00:00 '1' "1" "1e3" = << street
    1.2.3 1,5 --1 - 0x 9223372036854775808 1e400 ''
""".split()  # noqa: SIM905


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("form", ["key: {}\n", "key: [{}]\n", "key: {{a: {}}}\n"])
def test_every_scalar_means_what_it_means_to_dvc(scalar, form):
    compare(form.format(scalar))


def compare(text: str) -> bool:
    """Whether a text is read; if so then as DVC reads it, and if not with one line."""
    try:
        content = parse(text, "a.yaml")
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return False
    # Unlike ==, repr tells true from 1 and 1 from 1.0.
    assert repr(content or {}) == repr(parse_yaml(text, "a.yaml"))
    return True


def mutant(text: str, chance: random.Random) -> str:
    """``text`` with up to three places changed as an editor, a tired hand or an attacker would."""
    for _ in range(chance.randint(1, 3)):
        lines = text.split("\n")
        number = chance.randrange(len(lines))
        line, place = lines[number], chance.randrange(len(text))
        match chance.randrange(6):
            case 0:
                text = text[:place] + text[place + chance.randint(1, 5) :]
            case 1:
                text = (
                    text[:place] + chance.choice(":{}[],&*!|>'\"%@`#-?\t\0\x1b\x85\u2028\ufeff\udc80 \n") + text[place:]
                )
            case 2 | 3 if ": " in line:
                lines[number] = f"{line.partition(': ')[0]}: {chance.choice(SCALARS)}"
                text = "\n".join(lines)
            case 4:
                lines.insert(chance.randrange(len(lines)), line)
                text = "\n".join(lines)
            case _:
                text = text.replace(
                    *chance.choices(["0", "1", ".", "true", "auto", "[", "<<", "e-4", "[0]", "*"], k=2), 1
                )
    return text


def test_a_mutated_file_is_read_as_dvc_reads_it_or_refused():
    chance = random.Random(0)
    texts = [(ROOT / "params" / name).read_text() for name in ("experiment.yaml", "report.yaml", "pseudo_labels.yaml")]
    results = [compare(mutant(chance.choice(texts), chance)) for _ in range(600)]
    assert 100 < sum(results) < 500


def values(content, keys=()):
    """All values with their key paths; tuples are lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        if isinstance(value, dict | list | tuple) and value:
            yield from values(value, (*keys, key))
        else:
            yield (*keys, key), value


@pytest.mark.parametrize(
    ("name", "load", "block"),
    [
        ("teacher.yaml", teacher.load, "street"),
        ("experiment.yaml", lambda _, path: experiment.load(path), None),
    ],
)
def test_a_mutated_block_has_the_values_that_dvc_records_or_is_refused(tmp_path, name, load, block):
    chance = random.Random(1)
    path, text, loaded = tmp_path / name, (ROOT / "params" / name).read_text(), 0
    for _ in range(200):
        changed = mutant(text, chance)
        path.write_text(changed, errors="surrogatepass")
        try:
            typed = load(block, path).model_dump()
        except UserError as error:
            assert "\n" not in str(error)
            continue
        loaded += 1
        recorded = parse_yaml(changed, name)
        for keys, value in values(typed):
            found = recorded[block] if block else recorded
            for key in keys:
                found = found[key]
            # A whole number may be given where any number may.
            assert found == value or found == [] == list(value), (keys, found, value)
            assert type(found) in (type(value), int if isinstance(value, float) else list), (keys, found, value)
    assert loaded > 20


def lines(start: str, number: int) -> str:
    """Nine aliases of the line before in each line."""
    return start + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, number))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("street: {a: 1, a: 2}\n", 'line 1, column 16: while constructing a mapping, found duplicate key "a"'),
        ("street: {}\nstreet: {}\n", 'line 2, column 1: while constructing a mapping, found duplicate key "street"'),
        ("street: " + "[" * 100_000, "more than 50 levels"),
        ("street:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 2000)), "more than 50 levels"),
        (lines("a0: &a0 [x, x]\n", 12), "more than 200000 values"),
        (lines("a0: &a0 {x: 1}\n", 12).replace("[", "{<<: [").replace("]\n", "]}\n"), "more than 200000 values"),
        ("street: &a [*a]\n", r"alias \*a is not defined above, or is inside its own value"),
        ("street: *a\n", r"alias \*a is not defined above"),
        ("street: {16E5: 1}\n", "key 1600000.0 is not text; put it in quotes"),
        ("street: {a: {true: 1}}\n", "key True is not text"),
        ("street: {[a, b]: 1}\n", r"key \('a', 'b'\) is not text"),
        ("street: {{a: b}: 1}\n", "not readable as YAML"),
        ("street: !!int '3'\n", "tag .* is not allowed; write the plain value"),
        ("street: !!python/object/apply:os.system [ls]\n", "tag .* is not allowed"),
        ("street: " + "1" * 5000 + "\n", "Exceeds the limit .*digits"),
        ("street: 2001-99-99\n", "month must be in 1..12"),
        ("street: {}\n---\nstreet: {}\n", "expected a single document in the stream, but found another"),
        ("street: a\0b\n", "not readable as YAML"),
        ("street: a\x1bb\n", "not readable as YAML"),
        ("street: {}".encode("utf-16"), r"not text in UTF-8 \(byte 0"),
        (b"street: {a: \xff}\n", r"not text in UTF-8 \(byte 12"),
        (b"", "expected keys and values, found NoneType"),
    ],
)
def test_a_file_that_would_hang_crash_or_deceive_is_refused_with_one_line(tmp_path, content, message):
    path = tmp_path / "teacher.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as error:
        load_block(path, "street", teacher.TeacherParams)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to(path), "symbolic links lead in a circle"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.symlink_to(path.parent / "nothing"), "no such file"),
    ],
)
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path, make, message):
    path = tmp_path / "teacher.yaml"
    make(path)
    with pytest.raises(UserError, match=f"^{path}: .*{message}"):
        load_block(path, "street", teacher.TeacherParams)
