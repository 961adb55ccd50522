"""Reading the folders of Cityscapes: ``{type}/{folder}/{city}/{city}_{sequence}_{frame}_{ending}``."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from etc.core.errors import UserError

# Recording ("aachen_000000") to frame number to path below the root.
Recordings = dict[str, dict[int, str]]

STILL, SEQUENCE, FINE, COARSE = "leftImg8bit", "leftImg8bit_sequence", "gtFine", "gtCoarse"

_NAME = re.compile(r"(?P<recording>(?P<city>[A-Za-z][A-Za-z-]*)_\d{6})_(?P<frame>\d{6})_(?P<ending>\w+\.\w+)")

# Cities of folders val and test (cityscapes-dataset.com, "Contained cities"); results are reported on them.
HELD_OUT = {
    "val": ("frankfurt", "lindau", "munster"),
    "test": ("berlin", "bielefeld", "bonn", "leverkusen", "mainz", "munich"),
}


def truth(folder: str) -> str:
    """The label type of a folder: train_extra has only coarse labels."""
    return COARSE if folder == "train_extra" else FINE


def cities(root: Path, kind: str, folder: str) -> list[str]:
    """Names of the city folders of ``{kind}/{folder}``, sorted; empty when it does not exist."""
    try:
        with os.scandir(root / kind / folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def read(root: Path, kind: str, folder: str, endings: Sequence[str]) -> tuple[list[Recordings], list[str]]:
    """Files of ``{kind}/{folder}``, in one pass over the names.

    Args:
        root: the folder of Cityscapes.
        kind: leftImg8bit, leftImg8bit_sequence, gtFine or gtCoarse.
        folder: train, val, test or train_extra.
        endings: what stands behind the frame number, e.g. ``leftImg8bit.png``.

    Returns:
        the files of each ending, and the paths of those that belong to none.
    """
    found: list[Recordings] = [defaultdict(dict) for _ in endings]
    place = {ending: number for number, ending in enumerate(endings)}
    strays = []
    for city in cities(root, kind, folder):
        below = f"{kind}/{folder}/{city}"
        with os.scandir(root / below) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            match = _NAME.fullmatch(name)
            if match and match["city"] == city and match["ending"] in place:
                found[place[match["ending"]]][match["recording"]][int(match["frame"])] = f"{below}/{name}"
            elif not name.startswith("."):
                strays.append(f"{below}/{name}")
    return [dict(one) for one in found], strays


def check_training_folder(root: Path, kind: str, folder: str) -> None:
    """Make sure that no recording of folder val or test is found in a folder that is trained on.

    Raises:
        UserError: a city of val or test is there, or a link into val or test.
    """
    for city in cities(root, kind, folder):
        path = root / kind / folder / city
        for held_out, names in HELD_OUT.items():
            if city in names or path.resolve().is_relative_to((root / kind / held_out).resolve()):
                raise UserError(
                    f"{path}: belongs to Cityscapes {held_out}, on which results are reported, and must not be "
                    "trained on (as train++ lists do); remove it from the folder"
                )
