import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from etc.core.errors import UserError
from etc.dataset import manifest
from etc.dataset.label_sets import STREET
from etc.sources.check import gaps
from etc.sources.source import Gap


@pytest.fixture
def path(tmp_path):
    rows = [("a", 0), ("a", 1), ("a_000003", 3), ("b", 7)]
    frames = pd.DataFrame(rows, columns=["clip", "frame"])
    frames = frames.assign(split="train", annotated=False, label="", width=8, height=4, bytes=10, label_checksum="")
    frames["image"] = [f"{clip}/{number}.png" for clip, number in rows]
    frames["checksum"] = [f"{place:032x}" for place in range(len(rows))]
    manifest.write(tmp_path / "frames.parquet", frames, STREET)
    return tmp_path / "frames.parquet"


def test_gaps_travel_with_the_manifest_and_change_nothing_else(path):
    frames = manifest.read(path)
    found = (Gap("a_000003", 3, 1, 1), Gap("b", 7, 3, 3))
    gaps.add(path, found[::-1])
    assert gaps.read(path, frames) == found
    pd.testing.assert_frame_equal(manifest.read(path), frames)
    assert manifest.read_label_set(path) == STREET


def test_equal_gaps_give_equal_bytes_and_none_leave_the_file_as_it_is(path):
    before = path.read_bytes()
    gaps.add(path, [])
    assert path.read_bytes() == before and gaps.read(path, manifest.read(path)) == ()
    written = []
    for found in ([Gap("b", 7, 3, 3), Gap("a", 0, 1, 1)], [Gap("a", 0, 1, 1), Gap("b", 7, 3, 3)]):
        path.write_bytes(before)
        gaps.add(path, found)
        written.append(path.read_bytes())
    assert written[0] == written[1] != before


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("[", "the gaps it holds cannot be read"),
        ("7", "the gaps it holds cannot be read"),
        ('[["a", 0, 1]]', "not a clip and three numbers"),
        ('[["a", 0, 1, "one"]]', "not a clip and three numbers"),
        (json.dumps([["a", 3, 1, 1]]), "holds a gap before frame 3 of clip 'a', but not that frame"),
    ],
)
def test_gaps_that_are_none_are_refused(path, stored, message):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"gaps": stored.encode()}), path)
    with pytest.raises(UserError, match=rf"frames\.parquet: .*{message}.*; run the frames stage again") as raised:
        gaps.read(path, manifest.read(path))
    assert "\n" not in str(raised.value)
