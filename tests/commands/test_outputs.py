"""What each command refuses to write over, and that its outputs appear together."""

import errno
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from etc.cli import app
from etc.core.outputs import MARKER
from etc.flow.io import write_flo
from etc.flow.store import FlowWriter, StoredFlow
from tests.commands import world


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def refused(*arguments):
    """The one line of a command that is refused."""
    result = call(*arguments)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1, result.output
    return result.stderr


def state(folder):
    """Every path below a folder, with its content and whether it is a link."""
    paths = sorted(folder.rglob("*"))
    return {path: (path.is_symlink(), path.read_bytes() if path.is_file() else None) for path in paths}


@pytest.fixture
def moving(tmp_path, monkeypatch):
    world.make(tmp_path, numbers=range(3))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips.txt").write_text("ride\nwalk\n")
    (tmp_path / "link").symlink_to("frames")
    (tmp_path / "theirs.json").write_text('{"tc": 1}')
    pq.write_table(pa.table({"clip": ["a"]}), tmp_path / "theirs.parquet")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


TC = ("tc", "--predictions", "predictions", "--frames", "frames", "--flow", "flow", "--workers", "1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "/dev/null"], "/dev/null: a device"),
        (["--json", "fifo"], "fifo: a device, FIFO"),
        (["--parquet", "fifo"], "fifo: a device, FIFO"),
        (["--json", "out", "--parquet", "out"], "out: at or below another output"),
        (["--json", "frames/ride/0000.png"], "frames/ride/0000.png: inside the input frames"),
        (["--json", "link/out.json"], "link/out.json: inside the input frames"),
        (["--parquet", "predictions/out.parquet"], "inside the input predictions"),
        (["--json", "flow/ride/0000.flo"], "inside the input flow"),
        (["--against", "predictions", "--labels", "predictions", "--json", "predictions"], "same as the input"),
        (["--sample", "clips.txt", "--json", "clips.txt"], "clips.txt: the same as the input clips.txt"),
        (["--flow", "raft", "--flow-option", "weights=theirs.json", "--json", "theirs.json"], "the same as the input"),
        (["--json", "theirs.json"], "theirs.json: exists and was not made by this command"),
        (["--parquet", "theirs.parquet"], "theirs.parquet: exists and was not made by this command"),
        (["--parquet", "out.json", "--json", "predictions/ride"], "inside the input"),
    ],
)
def test_tc_replaces_nothing_of_anyone_else(moving, options, message):
    before = state(moving)
    assert message in refused(*TC, *options)
    assert state(moving) == before


def test_tc_replaces_what_it_made(moving):
    outputs = ("--json", "out.json", "--parquet", "out.parquet")
    for _ in range(2):
        assert call(*TC, *outputs).exit_code == 0
    swapped = refused(*TC, "--json", "out.parquet", "--parquet", "out.json")
    assert "out.parquet: exists and was not made by this command" in swapped


@pytest.mark.parametrize("existing", [True, False])
def test_tc_writes_all_of_its_outputs_or_none(moving, monkeypatch, existing):
    outputs = ("--json", "new/out.json", "--parquet", "other/out.parquet")
    if existing:
        assert call(*TC, *outputs, "--ignore", "0").exit_code == 0
    before = state(moving)

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("etc.evaluation.counts.pq.write_table", full)
    assert "other/out.parquet: the disk is full" in refused(*TC, *outputs)
    assert state(moving) == before


def test_flow_export_replaces_what_it_made_alone(moving):
    stored = moving / "store" / "ride.arrow"
    with FlowWriter(stored, "key", (12, 20)) as writer:
        writer.write(0, 1, np.zeros((12, 20, 2), np.float32))
    for _ in range(2):
        assert call("flow", "export", "store", "--to", "exported").exit_code == 0
    assert {path.name for path in (moving / "exported").iterdir()} == {"ride", MARKER}
    theirs = moving / "flow" / "ride" / "000000_000001.flo"
    write_flo(theirs, np.ones((12, 20, 2), np.float32))
    before = state(moving)
    assert "000000_000001.flo: exists and was not made" in refused("flow", "export", "store", "--to", "flow")
    assert "inside the input store" in refused("flow", "export", "store", "--to", "store/flo")
    assert "not a .flo file" in refused("flow", "export", "store/ride.arrow", "--to", "ride.flo")
    assert state(moving) == before


def test_flow_import_replaces_what_it_made_alone(moving):
    flow = np.zeros((12, 20, 2), np.float32)
    for clip in ("ride", "walk"):
        write_flo(moving / "pairs" / clip / "0_1.flo", flow)
    with FlowWriter(moving / "computed.arrow", "key", (12, 20), method="dis") as writer:
        writer.write(0, 1, flow)
    for _ in range(2):
        assert call("flow", "import", "pairs", "--to", "packed").exit_code == 0
        assert call("flow", "import", "pairs/ride", "--to", "one.arrow").exit_code == 0
    before = state(moving)
    message = "computed.arrow: exists and was not made by this command"
    assert message in refused("flow", "import", "pairs/ride", "--to", "computed.arrow")
    assert "inside the input" in refused("flow", "import", "pairs", "--to", "pairs/packed")
    assert state(moving) == before


def test_flow_import_writes_all_clips_or_none(moving):
    for clip in ("ride", "walk"):
        write_flo(moving / "pairs" / clip / "0_1.flo", np.zeros((12, 20, 2), np.float32))
    (moving / "pairs/walk/1_2.flo").write_bytes(b"damaged")
    before = state(moving)
    assert "1_2.flo: not a .flo file" in refused("flow", "import", "pairs", "--to", "packed")
    assert state(moving) == before
    (moving / "pairs/walk/1_2.flo").unlink()
    assert call("flow", "import", "pairs", "--to", "packed").exit_code == 0
    assert StoredFlow(moving / "packed/walk.arrow").pairs == [(0, 1)]
