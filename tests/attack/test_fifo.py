"""A FIFO where a file is read: reading it would wait for ever."""

import os
import threading

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.core.files import sha256
from etc.core.outputs import MARKER
from etc.flow.io import write_flo
from etc.flow.store import StoredFlow
from etc.flow_exchange import export, pack
from etc.sources.video.reading import scan


def pack_flow(path):
    (path.parent / "in").mkdir()
    path.rename(path.parent / "in/0_1.flo")
    pack(path.parent / "in", path.parent / "clip.arrow")


def export_flow(path):
    write_flo(path.parent / "in/0_1.flo", np.zeros((4, 4, 2), np.float32))
    pack(path.parent / "in", path.parent / "clip.arrow")
    (path.parent / "out").mkdir()
    path.rename(path.parent / "out" / MARKER)
    export(path.parent / "clip.arrow", path.parent / "out", "flo")


@pytest.mark.parametrize(
    "use",
    [
        sha256,  # of networks and their weights
        StoredFlow,
        pack_flow,
        export_flow,
        scan,
    ],
)
def test_a_fifo_is_named(tmp_path, use):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    # A reader that waits then finds the end of the file.
    writer = threading.Timer(10, lambda: [one.write_bytes(b"") for one in tmp_path.rglob("*") if one.is_fifo()])
    writer.start()
    try:
        with pytest.raises(UserError, match=r"(fifo|0_1\.flo|\.etc-outputs\.json)\S*: .*not a regular file"):
            use(path)
    finally:
        writer.cancel()
