"""CamVid in the original form: 701 stills of 720x960 and their labels in 32 colours."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from etc.core.errors import UserError, many
from etc.core.progress import track
from etc.dataset import pictures
from etc.sources.camvid.classes import known_colours
from etc.sources.camvid.stills import Still, names_in, parse, published_split, short_of
from etc.workers import Workers

STILLS, LABELS = "701_StillsRaw_full", "LabeledApproved_full"
PAGE = "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"

# Strays of the one published label that has them are some 200 of 691,200 pixels; another data set has more.
MOST_STRAYS = 0.01

_CODES = np.array([(red << 16) + (green << 8) + blue for red, green, blue in known_colours()], np.uint32)


def find_folder(root: Path, name: str) -> Path:
    """A published folder in the root or in ``CamVid`` below it, also if it was unpacked into a folder of the same name.

    Raises:
        UserError: there is none.
    """
    for base in (root, root / "CamVid"):
        # The inner one first: the outer one then holds nothing else.
        for folder in (base / name / name, base / name):
            if folder.is_dir():
                return folder
    raise UserError(
        f"{root}: holds no folder {name}, nor CamVid/{name}; unpack {name}.zip of {PAGE} into {root}/{name}, "
        "or set form: segnet"
    )


def find_stills(root: Path, workers: int) -> tuple[list[Still], list[str]]:
    """All frames in the published split, and notes on what is missing or left out.

    Args:
        root: the folder; it may hold a part of the stills.
        workers: processes that look through the labels.

    Raises:
        UserError: a folder or all frames are missing, or labels are not in CamVid's colours.
    """
    images, labels = find_folder(root, STILLS), find_folder(root, LABELS)
    labelled = set(names_in(labels))
    stills: list[Still] = []
    strays, outside, unlabelled = [], [], 0
    for name in names_in(images):
        stem = name.removesuffix(".png")
        still = parse(stem)
        split = published_split(still) if still else None
        if split is None:
            (strays if still is None else outside).append(name)
            continue
        label = f"{stem}_L.png"
        unlabelled += label not in labelled
        stills.append(
            replace(
                still,
                split=split,
                annotated=split == "train" and label in labelled,
                image=f"{images.relative_to(root).as_posix()}/{name}",
                label=f"{labels.relative_to(root).as_posix()}/{label}" if label in labelled else "",
            )
        )
    if not stills:
        raise UserError(f"{images}: no frame named like 0016E5_07959.png; correct root")
    notes = []
    if strays:
        files = many(len(strays), "file not named like CamVid's is", "files not named like CamVid's are")
        notes.append(f"{STILLS}: {files} left out, e.g. {strays[0]}")
    if outside:
        frames = many(len(outside), "frame is", "frames are")
        notes.append(f"{STILLS}: {frames} in no published split and left out, e.g. {outside[0]}")
    if unlabelled:
        notes.append(f"{STILLS}: {many(unlabelled, 'frame has', 'frames have')} no label *_L.png in {LABELS}")
    notes += _look_through([root / still.label for still in stills if still.label], workers)
    return stills, [*notes, *short_of(stills)]


def _look_through(labels: list[Path], workers: int) -> list[str]:
    """Notes on labels with pixels of unknown colours."""
    notes = []
    with Workers(workers) as pool:
        for path, (pixels, strays) in zip(
            labels, track(pool.map(_strays, labels), len(labels), "camvid labels"), strict=True
        ):
            if strays > MOST_STRAYS * pixels:
                raise UserError(
                    f"{path}: {strays} of {pixels} pixels have none of CamVid's 32 colours; get the label of the data "
                    "set again (colours change when a label is resized with interpolation, or saved as JPEG)"
                )
            if strays:
                have = "pixel has none of CamVid's 32 colours and is", "pixels have none of CamVid's 32 colours and are"
                notes.append(f"{path.name}: {many(strays, *have)} ignored")
    return notes


def _strays(path: Path) -> tuple[int, int]:
    """Number of pixels of a label, and of those in an unknown colour."""
    pixels = pictures.read(path, "colours")
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return codes.size, int((~np.isin(codes, _CODES)).sum())
