from pathlib import Path

import cv2
import numpy as np
import pytest

from etc.core.errors import UserError
from etc.dataset.label_sets import CITYSCAPES
from etc.dataset.location import Location
from etc.evaluation import samples
from etc.sources.cityscapes import cityscapes
from etc.sources.cityscapes.cityscapes import Cityscapes
from etc.sources.cityscapes.packages import PACKAGES, packages
from etc.sources.cityscapes.params import CityscapesParams, CityscapesSplits
from etc.sources.source import Frame, Gap
from tests.real_data import DATA


def _name(kind: str, folder: str, recording: str, number: int, ending: str) -> str:
    return f"{kind}/{folder}/{recording[:-7]}/{recording}_{number:06d}_{ending}"


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        path.touch()


def _clip(root: Path, folder: str, recording: str, annotated: int, missing: tuple[int, ...] = ()) -> None:
    """The 30 frames around an annotated one, its still and its label."""
    for number in range(annotated - 19, annotated + 11):
        if number not in missing:
            _touch(root, _name("leftImg8bit_sequence", folder, recording, number, "leftImg8bit.png"))
    _annotated(root, folder, recording, annotated)


def _annotated(root: Path, folder: str, recording: str, number: int) -> None:
    _touch(
        root,
        _name("leftImg8bit", folder, recording, number, "leftImg8bit.png"),
        _name("gtFine", folder, recording, number, "gtFine_labelIds.png"),
        _name("gtFine", folder, recording, number, "gtFine_instanceIds.png"),
        _name("gtFine", folder, recording, number, "gtFine_polygons.json"),
    )


@pytest.fixture
def root(tmp_path):
    _clip(tmp_path, "train", "ulm_000000", 19)
    _clip(tmp_path, "train", "jena_000003", 19)
    _clip(tmp_path, "val", "frankfurt_000001", 47552)
    _clip(tmp_path, "val", "frankfurt_000001", 48000)
    return tmp_path


def _list(root: Path, **values):
    return Cityscapes("cityscapes", CityscapesParams(**values)).list(root, root / "made", 1)


def _clips(listing) -> dict[str, list[int]]:
    clips: dict[str, list[int]] = {}
    for frame in listing.frames:
        clips.setdefault(frame.clip, []).append(frame.frame)
    return clips


def _note(listing, words: str) -> str:
    found = [note for note in listing.notes if words in note]
    assert len(found) == 1, listing.notes
    return found[0]


def test_clips_are_named_by_their_annotated_frame_and_numbered_as_recorded(root):
    listing = _list(root)
    assert _clips(listing) == {
        "ulm_000000_000019": list(range(30)),
        "jena_000003_000019": list(range(30)),
        "frankfurt_000001_047552": list(range(47533, 47563)),
        "frankfurt_000001_048000": list(range(47981, 48011)),
    }
    assert {frame.clip: frame.split for frame in listing.frames} == {
        "ulm_000000_000019": "train",
        "jena_000003_000019": "train",
        "frankfurt_000001_047552": "test",
        "frankfurt_000001_048000": "test",
    }
    labelled = {frame.image: frame.label for frame in listing.frames if frame.annotated}
    assert labelled == {
        _name("leftImg8bit_sequence", folder, recording, number, "leftImg8bit.png"): _name(
            "gtFine", folder, recording, number, "gtFine_labelIds.png"
        )
        for folder, recording, number in [
            ("train", "ulm_000000", 19),
            ("train", "jena_000003", 19),
            ("val", "frankfurt_000001", 47552),
            ("val", "frankfurt_000001", 48000),
        ]
    }
    assert all((root / frame.image).is_file() for frame in listing.frames)
    assert all(not frame.label for frame in listing.frames if not frame.annotated)
    assert listing.label_set == CITYSCAPES
    assert listing.notes == ("split dev is empty: name dev_cities, so that nothing is tuned on what is reported",)


def test_the_clip_list_of_the_paper_selects_the_right_frames(tmp_path):
    wanted = samples.clip_list("cityscapes_tc")
    for name in wanted:
        video, first, last = samples.snippet(name)
        _clip(tmp_path, "val", video, first + 19)
        assert last - first == 29
    _clip(tmp_path, "val", "frankfurt_000000", 294)
    _clip(tmp_path, "train", "ulm_000000", 19)
    clips = _clips(_list(tmp_path))
    assert len(clips) == 110
    for name in samples.select(clips, wanted, "list"):
        assert (clips[name][0], clips[name][-1], len(clips[name])) == (*samples.snippet(name)[1:], 30)


def test_annotated_frames_alone(root):
    listing = _list(root, sequences=False)
    assert _clips(listing) == {
        "ulm_000000_000019": [19],
        "jena_000003_000019": [19],
        "frankfurt_000001_047552": [47552],
        "frankfurt_000001_048000": [48000],
    }
    assert all(frame.annotated and frame.image.startswith("leftImg8bit/") for frame in listing.frames)


def test_annotated_frames_alone_are_found_in_the_sequences_too(root):
    for path in (root / "leftImg8bit").rglob("*.png"):
        path.unlink()
    listing = _list(root, sequences=False)
    assert sorted(_clips(listing).values()) == [[19], [19], [47552], [48000]]
    assert all(frame.annotated and frame.image.startswith("leftImg8bit_sequence/") for frame in listing.frames)


def test_dev_cities_leave_train(root):
    listing = _list(root, dev_cities=["jena"])
    assert {frame.clip.split("_")[0]: frame.split for frame in listing.frames} == {
        "ulm": "train",
        "jena": "dev",
        "frankfurt": "test",
    }
    assert not listing.notes
    with pytest.raises(UserError, match=r"dev_cities: .* no city 'frankfurt' in folder train; name some of jena, ulm$"):
        _list(root, dev_cities=["frankfurt"])
    with pytest.raises(UserError, match="dev_cities: names every city"):
        _list(root, dev_cities=["ulm", "jena"])


def test_a_short_clip_is_used_as_far_as_it_goes(tmp_path):
    _clip(tmp_path, "train", "ulm_000000", 19)
    _clip(tmp_path, "val", "frankfurt_000001", 47552, missing=(*range(47533, 47548),))
    listing = _list(tmp_path)
    assert _clips(listing)["frankfurt_000001_047552"] == list(range(47548, 47563))
    note = _note(listing, "fewer than 30")
    assert note == "folder val: clips of fewer than 30 frames: 1, e.g. frankfurt_000001_047552 (047548 to 047562)"


def test_a_gap_splits_a_clip(tmp_path):
    _clip(tmp_path, "val", "frankfurt_000001", 47552)
    _clip(tmp_path, "train", "ulm_000000", 19, missing=(4, 25))
    listing = _list(tmp_path)
    clips = _clips(listing)
    assert clips["ulm_000000_000019"] == list(range(5, 25))
    assert clips["ulm_000000_000019_from000000"] == [0, 1, 2, 3]
    assert clips["ulm_000000_000019_from000026"] == [26, 27, 28, 29]
    assert "parts of clips before or after a gap, as clips of their own: 2, e.g. ulm_000000_000019_from000000" in _note(
        listing, "gap"
    )
    assert samples.snippet("ulm_000000_000019_from000026") is None
    assert listing.gaps == (
        Gap("ulm_000000_000019", 5, 3, 1),
        Gap("ulm_000000_000019_from000026", 26, 24, 1),
    )
    assert _list(tmp_path, sequences=False).gaps == ()


def test_what_is_apart_by_nature_is_no_gap(root):
    # Stills whose clips are not in leftImg8bit_sequence, near each other and not far from a clip.
    for number in (100, 110, 48040):
        _annotated(root, "val", "frankfurt_000001", number)
    assert _list(root).gaps == ()
    # Nearer, the still's clip has begun, and lacks what lies between.
    _annotated(root, "val", "frankfurt_000001", 48025)
    assert _list(root).gaps == (Gap("frankfurt_000001_048025", 48025, 48010, 14),)


def test_the_annotated_frame_is_taken_from_the_stills(tmp_path):
    _clip(tmp_path, "val", "frankfurt_000001", 47552)
    _clip(tmp_path, "train", "ulm_000000", 19, missing=(19,))
    listing = _list(tmp_path)
    assert _clips(listing)["ulm_000000_000019"] == list(range(30))
    (still,) = [frame for frame in listing.frames if frame.split == "train" and frame.annotated]
    assert still.image == _name("leftImg8bit", "train", "ulm_000000", 19, "leftImg8bit.png")
    (tmp_path / still.image).unlink()
    clips = _clips(without := _list(tmp_path))
    assert [len(frames) for frames in clips.values()] == [19, 10, 30]
    assert "ulm_000000_000019" not in clips
    assert "annotated frames without a picture: 1, e.g. ulm_000000_000019" in _note(without, "without a picture")


def test_frames_without_a_clip_are_clips_of_one_frame(root):
    _annotated(root, "train", "ulm_000007", 19)
    listing = _list(root)
    assert _clips(listing)["ulm_000007_000019"] == [19]
    assert "clips of one frame, since leftImg8bit_sequence has none: 1, e.g. ulm_000007_000019" in _note(listing, "one")


def test_overlapping_clips_are_noted(root):
    _clip(root, "train", "ulm_000000", 34)
    listing = _list(root)
    assert len([frame for frame in listing.frames if frame.clip.startswith("ulm")]) == 45
    assert "ulm_000000_000034" in _note(listing, "overlap")


# What must never be trained on.


def test_every_trained_path_lies_in_a_training_folder(root):
    _annotated(root, "test", "berlin_000000", 19)
    listing = _list(root, splits={"train": ["train"], "dev": ["test"], "test": ["val"]}, dev_cities=["jena"])
    assert {(frame.split, frame.image.split("/")[1]) for frame in listing.frames} == {
        ("train", "train"),
        ("dev", "train"),
        ("dev", "test"),
        ("test", "val"),
    }
    for frame in listing.frames:
        assert (frame.split == "train") <= (frame.image.split("/")[1:3] == ["train", "ulm"])


@pytest.mark.parametrize("what", ["image", "label"])
def test_a_trained_path_of_val_is_refused(what):
    good = Frame("c", 0, "train", True, "leftImg8bit/train/ulm/a.png", "gtFine/train/ulm/a.png")
    cityscapes.check_paths([good, good._replace(split="test", image="leftImg8bit/val/ulm/a.png")])
    wrong = good._replace(**{what: getattr(good, what).replace("/train/", "/val/")})
    with pytest.raises(UserError, match="/val/ulm/a.png: in split train"):
        cityscapes.check_paths([good, wrong])


def test_the_listing_refuses_even_what_the_parameters_let_pass(root, monkeypatch):
    splits = CityscapesSplits.model_construct(train=("train", "val"), dev=(), test=())
    params = CityscapesParams.model_construct(splits=splits)
    with pytest.raises(UserError, match="val/frankfurt: belongs to Cityscapes val"):
        Cityscapes("cityscapes", params).list(root, root / "made", 1)
    monkeypatch.setattr(cityscapes, "check_training_folder", lambda *_: None)
    with pytest.raises(UserError, match=r"val/frankfurt/.*_leftImg8bit\.png: in split train, but only folders"):
        Cityscapes("cityscapes", params).list(root, root / "made", 1)


def test_val_in_the_training_folder_is_refused(root):
    _annotated(root, "train", "munster_000000", 19)
    with pytest.raises(UserError, match=r"train/munster: belongs to Cityscapes val.*train\+\+"):
        _list(root)


def test_a_link_to_val_in_the_training_folder_is_refused(root):
    _annotated(root, "val", "own_000000", 19)
    (root / "leftImg8bit/train/own").symlink_to(root / "leftImg8bit/val/own", target_is_directory=True)
    with pytest.raises(UserError, match="train/own: belongs to Cityscapes val"):
        _list(root)


# What is there and what is not.


def _remove(root: Path, pattern: str) -> None:
    for path in root.glob(pattern):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize(
    ("pattern", "values", "message"),
    [
        (
            "leftImg8bit_sequence/**/*",
            {},
            r"TC and motion loss need leftImg8bit_sequence_trainvaltest\.zip \(324 GB\).*or set sequences: false$",
        ),
        ("gtFine/val/**/*", {}, r"gtFine/val: no \*_gtFine_labelIds\.png; unpack gtFine_trainvaltest\.zip \(241 MB\)"),
        ("gtFine/**/*labelIds*", {}, r"gtFine/train: no .*gtFine_trainvaltest\.zip"),
        (
            "leftImg8bit*/val/**/*",
            {},
            r"leftImg8bit/val: no .*leftImg8bit_trainvaltest\.zip \(11 GB\).*or take val out",
        ),
        ("x", {"extra": True}, r"leftImg8bit/train_extra: no .*leftImg8bit_trainextra\.zip \(44 GB\)"),
        ("x", {"splits": {"train": ["train_extra"]}}, r"leftImg8bit/train_extra: no .*leftImg8bit_trainextra\.zip"),
        ("x", {"labels": "labelTrainIds"}, "labels: 4 of 4 annotated frames have no labelTrainIds file, first frankf"),
    ],
)
def test_what_is_missing_is_named_with_its_package(root, pattern, values, message):
    _remove(root, pattern)
    if pattern.startswith("leftImg8bit_sequence"):
        (root / "leftImg8bit_sequence/train/ulm").rename(root / "ulm")
        for folder in ("train/jena", "val/frankfurt"):
            (root / "leftImg8bit_sequence" / folder).rmdir()
    with pytest.raises(UserError, match=message) as raised:
        _list(root, **values)
    assert "\n" not in str(raised.value)


def test_one_split_may_lack_sequences(root):
    _remove(root, "leftImg8bit_sequence/train/**/*")
    clips = _clips(_list(root))
    assert [len(clips[name]) for name in sorted(clips)] == [30, 30, 1, 1]


def test_the_coarse_frames_join_without_labels(root):
    extra = [("troisdorf_000000", 73), ("troisdorf_000000", 74), ("bayreuth_000000", 1)]
    for recording, number in extra:
        _touch(root, _name("leftImg8bit", "train_extra", recording, number, "leftImg8bit.png"))
    listing = _list(root, extra=True)
    added = [frame for frame in listing.frames if "/train_extra/" in frame.image]
    assert {(frame.clip, frame.split, frame.annotated, frame.label) for frame in added} == {
        ("troisdorf_000000_000074", "train", False, ""),
        ("bayreuth_000000_000001", "train", False, ""),
    }
    assert "troisdorf_000000_000073 left out" in _note(listing, "corrupt")
    assert _note(listing, "join") == "folder train_extra: 2 frames without labels join split train"
    both = {"splits": {"train": ["train", "train_extra"]}}
    with pytest.raises(UserError, match=r"gtCoarse/train_extra: no .*gtCoarse\.zip \(1\.3 GB\)"):
        _list(root, **both)
    _touch(root, _name("gtCoarse", "train_extra", "bayreuth_000000", 1, "gtCoarse_labelIds.png"))
    labels = {frame.clip: frame.label for frame in _list(root, **both).frames if "/train_extra/" in frame.image}
    assert labels == {
        "troisdorf_000000_000074": "",
        "bayreuth_000000_000001": "gtCoarse/train_extra/bayreuth/bayreuth_000000_000001_gtCoarse_labelIds.png",
    }


def test_the_dummy_labels_of_test_are_not_used(root):
    _clip(root, "test", "berlin_000000", 19)
    listing = _list(root, splits={"train": ["train"], "test": ["test"]})
    frames = [frame for frame in listing.frames if frame.split == "test"]
    assert len(frames) == 30 and not any(frame.annotated or frame.label for frame in frames)
    assert {frame.clip for frame in frames} == {"berlin_000000_000019"}
    _note(listing, "folder test: no labels")


def test_train_ids_are_read_when_every_annotated_frame_has_them(root):
    made = list((root / "gtFine").rglob("*_labelIds.png"))
    for path in made[:-1]:
        path.with_name(path.name.replace("labelIds", "labelTrainIds")).touch()
    partly = _list(root)
    assert partly.label_set == CITYSCAPES and "only 3 of 4" in _note(partly, "labelIds files are read")
    assert all("_labelIds" in frame.label for frame in partly.frames if frame.annotated)
    made[-1].with_name(made[-1].name.replace("labelIds", "labelTrainIds")).touch()
    whole = _list(root)
    assert "all 4 annotated frames" in _note(whole, "labelTrainIds files are read")
    assert sum("_labelTrainIds" in frame.label for frame in whole.frames) == 4
    assert whole.label_set == cityscapes.TRAIN_IDS == _list(root, labels="labelTrainIds").label_set
    assert _list(root, labels="labelIds").label_set == CITYSCAPES
    for path in made:
        path.unlink()
    assert _list(root).label_set == cityscapes.TRAIN_IDS
    with pytest.raises(UserError, match="labels: folder train has only labelTrainIds files"):
        _list(root, labels="labelIds")


def test_train_ids_decode_to_themselves():
    ids = np.array([0, 18, 255], np.uint8)
    assert cityscapes.TRAIN_IDS.encode(ids).tolist() == [0, 18, 255]
    assert cityscapes.TRAIN_IDS.foreign(np.array([0, 18, 19, 33, 255], np.uint8)) == [19, 33]


def test_strange_files_are_noted_and_hidden_ones_passed_over(root):
    _touch(root, "leftImg8bit/train/ulm/notes.txt", "leftImg8bit/train/ulm/.hidden", "leftImg8bit/train/.hid/a.png")
    _touch(root, "leftImg8bit/train/ulm/jena_000000_000019_leftImg8bit.png")
    listing = _list(root)
    assert len(listing.frames) == 120
    assert "folder train: 2 files not named" in _note(listing, "left out")


def test_where_it_is_looked_for():
    for root in (None, "given"):
        expected = Location(root, ("ETC_ROOT_CITY", "CITYSCAPES_DATASET"), "cityscapes")
        assert Cityscapes("city", CityscapesParams(root=root)).location == expected


def test_only_the_packages_that_are_needed():
    fine, still, sequence = (
        "gtFine_trainvaltest.zip",
        "leftImg8bit_trainvaltest.zip",
        "leftImg8bit_sequence_trainvaltest.zip",
    )
    assert packages(CityscapesParams()) == [fine, sequence]
    assert packages(CityscapesParams(sequences=False)) == [fine, still]
    assert packages(CityscapesParams(extra=True)) == [fine, "leftImg8bit_trainextra.zip", sequence]
    coarse = {"train": ["train", "train_extra"]}
    assert packages(CityscapesParams(sequences=False, splits=coarse)) == [
        fine,
        "gtCoarse.zip",
        still,
        "leftImg8bit_trainextra.zip",
    ]


def test_the_documentation_tells_how_much_is_fetched():
    totals = [
        sum(PACKAGES[name].size for name in packages(CityscapesParams(sequences=sequences))) / 1e9
        for sequences in (False, True)
    ]
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    assert f"Without `sequences` {totals[0]:.1f} GB are fetched, with them {totals[1]:.1f} GB" in " ".join(text.split())


@pytest.mark.parametrize(("name", "trained"), [("cityscapes", 8), ("cityscapes_small", 124)])
def test_real_frames(name, trained):
    root = DATA / name
    if not root.is_dir():
        pytest.skip("no real frames here")
    listing = _list(root)
    assert sum(frame.split == "train" for frame in listing.frames) == trained
    clips = _clips(listing)
    assert clips["frankfurt_000001_047552"] == list(range(47548, 47563))
    assert clips["aachen_000007_000019"] == [19]
    assert sum(frame.annotated for frame in listing.frames) == 9
    for frame in listing.frames:
        if frame.annotated:
            ids = cv2.imread(str(root / frame.label), cv2.IMREAD_UNCHANGED)
            assert not listing.label_set.foreign(ids)
            label = listing.label_set.encode(ids)
            assert set(label.ravel().tolist()) <= {*range(19), 255} and (label < 19).mean() > 0.5
