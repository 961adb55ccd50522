"""The frames stage over what it has unpacked or fetched itself: verified first, added to, missed when it is gone."""

import io
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from etc.core.errors import UserError
from etc.dataset import location
from etc.dataset.dataset import Dataset
from etc.stages import frames
from tests.sources.camvid_world import PUBLISHED, segnet

SEQUENCE = "leftImg8bit_sequence_trainvaltest.zip"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "project/params").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("ETC_DATA", str(tmp_path / "fetched"))
    for name in ("ETC_OFFLINE", "ETC_ROOT_CAMVID", "ETC_ROOT_CITYSCAPES", "CITYSCAPES_DATASET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write_block(name, **block):
    Path("params/frames.yaml").write_text(yaml.safe_dump({name: block}))


def test_a_camvid_zip_is_verified_first_and_asked_for_again_when_its_content_is_gone(project, monkeypatch):
    small = segnet(project / "CamVid", {folder: list(names)[:2] for folder, names in PUBLISHED.items()})
    archive = Path(shutil.make_archive(str(project / "mine"), "zip", project, small.relative_to(project)))
    write_block("camvid", source="camvid", root=str(archive))
    assert frames.verify("camvid", 1).totals["images"] == 6
    assert "6 frames" in frames.run("camvid", 1)
    camvid = Dataset("camvid")
    (row, *_) = camvid.frames.to_dict("records")
    assert camvid.image(row).ndim == 3
    shutil.rmtree(project / "fetched")
    location._external.cache_clear()
    with pytest.raises(UserError, match=r"the content of .*mine\.zip is no longer in .*; run the frames stage again"):
        camvid.image(row)
    write_block("camvid", source="camvid", root=None)
    monkeypatch.setenv("ETC_ROOT_CAMVID", str(archive))
    with pytest.raises(
        UserError, match="not a folder, but named by .*; only root in params/frames.yaml may name a .zip"
    ):
        frames.run("camvid", 1)


def packed(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, (name, shape) in enumerate(files.items()):
            pixels = np.random.default_rng(number).integers(0, 8, shape, np.uint8)
            archive.writestr(name, cv2.imencode(".png", pixels)[1].tobytes())
    return stream.getvalue()


def pictures(kind, ending, numbers, shape):
    cities = {"train": "ulm", "val": "munster", "test": "bonn"}
    return {
        f"{kind}/{folder}/{city}/{city}_000000_{number:06}_{ending}.png": shape
        for folder, city in cities.items()
        for number in numbers
    }


def test_missing_packages_are_added_to_what_was_fetched(project, site, stored, monkeypatch):
    monkeypatch.setenv("ETC_DATA", str(project / "fetched"))
    size = (8, 16)
    site.files = {
        "1": ("gtFine_trainvaltest.zip", packed(pictures("gtFine", "gtFine_labelIds", [19], size))),
        "3": ("leftImg8bit_trainvaltest.zip", packed(pictures("leftImg8bit", "leftImg8bit", [19], (*size, 3)))),
        "4": (SEQUENCE, packed(pictures("leftImg8bit_sequence", "leftImg8bit", range(30), (*size, 3)))),
    }
    block = {"source": "cityscapes", "root": None, "splits": {"train": ["train"], "dev": [], "test": ["val"]}}
    block |= {"dev_cities": [], "extra": False, "labels": "auto"}
    write_block("cityscapes", **block, sequences=False)
    assert "2 frames" in frames.run("cityscapes", 1, agreed=True)
    assert [number for number, _ in site.served] == ["1", "3"]
    write_block("cityscapes", **block, sequences=True)
    with pytest.raises(UserError, match="--yes"):
        frames.run("cityscapes", 1)
    assert "60 frames" in frames.run("cityscapes", 1, agreed=True)
    assert [number for number, _ in site.served] == ["1", "3", "4"]
    # Now that all is there, nobody is asked for anything.
    monkeypatch.setenv("ETC_OFFLINE", "1")
    assert "60 frames" in frames.run("cityscapes", 1)
    # A folder of the user's own is never added to.
    own = project / "own"
    shutil.copytree(project / "fetched/cityscapes", own)
    shutil.rmtree(own / "leftImg8bit_sequence")
    monkeypatch.setenv("CITYSCAPES_DATASET", str(own))
    monkeypatch.delenv("ETC_OFFLINE")
    with pytest.raises(UserError, match="unpack it in"):
        frames.run("cityscapes", 1, agreed=True)
    assert len(site.served) == 3
