"""Cityscapes as a source of frames: its official folders, its clips of 30 frames, its fine labels."""

import dataclasses
from pathlib import Path

from etc.core.errors import UserError, many
from etc.dataset.label_sets import CITYSCAPES, IGNORE
from etc.dataset.location import Location, data_folder, variable
from etc.sources.cityscapes.files import SEQUENCE, STILL, Recordings, check_training_folder, cities, read, truth
from etc.sources.cityscapes.packages import fetch, package_text, packages
from etc.sources.cityscapes.params import TRAINING, CityscapesParams
from etc.sources.cityscapes.rows import Folder, frame_name, rows
from etc.sources.source import Frame, Gap, Listing, Source

FETCHED = "cityscapes"  # name of the fetched folder

# Label files made by csCreateTrainIdLabelImgs.
TRAIN_IDS = dataclasses.replace(
    CITYSCAPES, name="cityscapes_train_ids", sources=tuple((number,) for number in range(19)), void=(IGNORE,)
)
_LABEL_SETS = {"labelIds": CITYSCAPES, "labelTrainIds": TRAIN_IDS}

# Its authors recommend leaving this picture out.
_CORRUPT = ("troisdorf_000000", 73)


class Cityscapes(Source[CityscapesParams]):
    """The Cityscapes data set."""

    terms = "Cityscapes, under its own licence (cityscapes-dataset.com/license), which excludes commercial use."

    @property
    def location(self) -> Location:
        """``root``, else ETC_ROOT_<DATA SET>, else CITYSCAPES_DATASET, else the download of :meth:`fetch`."""
        return Location(self.params.root, (variable(self.dataset), "CITYSCAPES_DATASET"), FETCHED)

    def fetch(self, agreed: bool) -> Path:
        """Download the packages that the parameters need with csDownload and the user's own account.

        Raises:
            UserError: no account, no agreement, no space, or the download fails.
        """
        return fetch(packages(self.params), data_folder() / FETCHED, agreed)

    def list(self, root: Path, made: Path, workers: int) -> Listing:
        """All frames, by clips named ``{city}_{sequence}_{annotated frame}``.

        Raises:
            UserError: a package is not there, or frames of val or test would be trained on.
        """
        _check_sequences(root, self.params)
        _check_dev_cities(root, self.params.dev_cities)
        folders = [_read(root, name, split, self.params) for name, split in self.params.folders().items()]
        kind, notes = _label_kind(folders, self.params.labels)
        frames: list[Frame] = []
        gaps: list[Gap] = []
        for folder in folders:
            found, lacking, remarks = rows(folder, kind, self.params)
            frames += found
            gaps += lacking
            notes += [f"folder {folder.name}: {remark}" for remark in folder.remarks + remarks]
        check_paths(frames)
        if not any(frame.split == "dev" for frame in frames):
            notes.append("split dev is empty: name dev_cities, so that nothing is tuned on what is reported")
        return Listing(frames, _LABEL_SETS[kind], tuple(notes), tuple(gaps))


def check_paths(frames: list[Frame]) -> None:
    """Make sure, by paths, that no frame of another folder is trained on.

    Raises:
        UserError: one is in split train and not in folder train or train_extra.
    """
    for frame in frames:
        if frame.split == "train":
            for path in filter(None, (frame.image, frame.label)):
                if path.split("/")[1] not in TRAINING:
                    raise UserError(f"{path}: in split train, but only folders {' and '.join(TRAINING)} are trained on")


def _check_sequences(root: Path, params: CityscapesParams) -> None:
    if params.sequences and not any(cities(root, SEQUENCE, name) for name in params.folders()):
        raise UserError(
            f"{root / SEQUENCE}: no clips; TC and motion loss need {package_text(SEQUENCE, 'train')}: "
            f"unpack it in {root}, or set sequences: false"
        )


def _check_dev_cities(root: Path, wanted: tuple[str, ...]) -> None:
    if not wanted:
        return
    known = sorted({city for kind in (STILL, SEQUENCE) for city in cities(root, kind, "train")})
    strange = [city for city in wanted if city not in known]
    if strange:
        raise UserError(
            f"dev_cities: {root} has no city {strange[0]!r} in folder train; name some of {', '.join(known) or 'none'}"
        )
    if set(known) == set(wanted):
        raise UserError(f"dev_cities: names every city of folder train in {root}; leave some to train on")


def _read(root: Path, name: str, split: str, params: CityscapesParams) -> Folder:
    """Read one folder.

    Raises:
        UserError: it has no pictures or no labels, or pictures that must not be trained on.
    """
    if split == "train":
        for kind in (STILL, SEQUENCE, truth(name)):
            check_training_folder(root, kind, name)
    (still,), strays = read(root, STILL, name, ["leftImg8bit.png"])
    sequence: Recordings = {}
    if params.sequences or not still:
        (sequence,), more = read(root, SEQUENCE, name, ["leftImg8bit.png"])
        strays += more
    if not still and not sequence:
        raise _absent(root, STILL, name, "leftImg8bit.png")
    remarks = []
    if strays:
        remarks.append(
            f"{many(len(strays), 'file')} not named CITY_SEQUENCE_FRAME_leftImg8bit.png left out, e.g. {strays[0]}"
        )
    if name == "train_extra" and still.get(_CORRUPT[0], {}).pop(_CORRUPT[1], None):
        remarks.append(f"{frame_name(*_CORRUPT)} left out: the picture is known to be corrupt")
    labels: dict[str, Recordings] = {kind: {} for kind in _LABEL_SETS}
    if not (name == "train_extra" and params.extra):
        found, _ = read(root, truth(name), name, [f"{truth(name)}_{kind}.png" for kind in labels])
        labels = dict(zip(labels, found, strict=True))
        if name != "test" and not any(found):
            raise _absent(root, truth(name), name, f"{truth(name)}_labelIds.png")
    return Folder(name, split, sequence, still, labels, remarks)


def _absent(root: Path, kind: str, name: str, ending: str) -> UserError:
    return UserError(
        f"{root / kind / name}: no *_{ending}; unpack {package_text(kind, name)} in {root}, "
        f"or take {name} out of the parameters"
    )


def _label_kind(folders: list[Folder], wanted: str) -> tuple[str, list[str]]:
    """Which label files to read, and notes about it.

    Raises:
        UserError: files of the wanted kind are missing.
    """
    used = [folder for folder in folders if folder.name != "test"]
    annotated = {place for folder in used for place in folder.annotated}
    converted = {place for folder in used for place in folder.places("labelTrainIds")}
    missing = annotated - converted
    if wanted == "labelTrainIds" and missing:
        frames = many(len(annotated), "annotated frame has", "annotated frames have")
        raise UserError(
            f"labels: {len(missing)} of {frames} no labelTrainIds file, first "
            f"{frame_name(*min(missing))}; run csCreateTrainIdLabelImgs, or set labels: labelIds"
        )
    if wanted == "auto" and annotated and not missing:
        return "labelTrainIds", [f"labelTrainIds files are read: all {len(annotated)} annotated frames have one"]
    if wanted == "labelTrainIds":
        return wanted, []
    for folder in used:
        if folder.annotated and not folder.labels["labelIds"]:
            raise UserError(
                f"labels: folder {folder.name} has only labelTrainIds files; set labels: labelTrainIds and run "
                "csCreateTrainIdLabelImgs, or unpack the labels again"
            )
    unread = len(annotated - {place for folder in used for place in folder.places("labelIds")})
    notes = []
    if unread:
        what = "has only a labelTrainIds file and counts", "have only a labelTrainIds file and count"
        frames = many(unread, f"annotated frame {what[0]}", f"annotated frames {what[1]}")
        notes.append(f"{frames} as unlabelled")
    if wanted == "auto" and converted:
        notes.append(
            f"labelIds files are read: only {len(converted)} of {len(annotated)} annotated frames have a labelTrainIds "
            "file"
        )
    return "labelIds", notes
