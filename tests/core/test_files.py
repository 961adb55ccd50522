"""Nothing half-written is left behind, nothing that was there is lost."""

import errno
import json

import pytest

from etc.core.errors import UserError
from etc.core.files import atomic, cache_folder, os_errors_in_one_line, read_json, sha256, write_json


def test_an_error_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ValueError), atomic(path) as stream:
        stream.write(b"new")
        raise ValueError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic(path, "w") as stream:
        stream.write("ü\n")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "ü\n"


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_operating_system_errors_are_reported_in_one_line(tmp_path, number, word):
    with pytest.raises(UserError, match=f"a.bin.*{word}"), atomic(tmp_path / "a.bin"):
        raise OSError(number, "no")
    assert list(tmp_path.iterdir()) == []


def test_the_file_named_by_the_error_is_reported_and_other_errors_pass(tmp_path):
    with pytest.raises(UserError, match="^b.bin: the disk is full"), os_errors_in_one_line():
        raise OSError(errno.ENOSPC, "no", "b.bin")
    with pytest.raises(FileNotFoundError), os_errors_in_one_line():
        (tmp_path / "missing").read_bytes()


def test_equal_values_give_equal_bytes(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": [2.5, None]})
    write_json(tmp_path / "b", {"a": [2.5, None], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == {"a": [2.5, None], "b": 1} == read_json(tmp_path / "a")


def test_a_missing_or_broken_json_file_is_named(tmp_path):
    with pytest.raises(UserError, match="a.json: no such file"):
        read_json(tmp_path / "a.json")
    for content in ("{", "[" * 100_000, "1" * 5000, "", "a"):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(UserError, match="a.json: not JSON") as error:
            read_json(tmp_path / "a.json")
        assert "\n" not in str(error.value)


def test_the_cache_belongs_to_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "etc-segmentation"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "etc-segmentation"


def test_a_missing_file_has_no_checksum(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            sha256(path)
