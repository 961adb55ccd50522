"""Regular files and what is none."""

import errno
import os
from pathlib import Path

import pytest

from etc.core.errors import UserError
from etc.core.files import sha256
from etc.core.regular import file_checksum, open_regular
from etc.dataset.manifest import checksum

KINDS = [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")]


@pytest.mark.parametrize("make", KINDS, ids=["FIFO", "folder", "device"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make):
    path = tmp_path / "file"
    make(path)
    for read in (open_regular, file_checksum):
        with pytest.raises(OSError, match="not a regular file") as caught:
            read(path)
        assert caught.value.errno == errno.ENXIO and caught.value.filename == str(path)
    with pytest.raises(UserError, match=f"^{path}: not a regular file but a folder, FIFO or device"):
        sha256(path)


def test_the_checksum_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert file_checksum(path) == checksum(path.read_bytes())
