"""The archives that Cityscapes is handed out in, and which of them the parameters need.

Names and sizes are those of https://www.cityscapes-dataset.com/downloads/; what a download asks about and checks are
the sizes and MD5 sums that the site tells then.
"""

from typing import NamedTuple

from etc.sources.cityscapes.files import COARSE, FINE, SEQUENCE, STILL, truth
from etc.sources.cityscapes.params import CityscapesParams


class Package(NamedTuple):
    """One archive.

    Attributes:
        size: of the archive, for messages.
        kind: folder that it fills, below the root.
        folders: the folders below that.
    """

    size: str
    kind: str
    folders: tuple[str, ...]


_FINE_FOLDERS = ("train", "val", "test")

PACKAGES = {
    "gtFine_trainvaltest.zip": Package("241 MB", FINE, _FINE_FOLDERS),
    "gtCoarse.zip": Package("1.3 GB", COARSE, ("train", "train_extra", "val")),
    "leftImg8bit_trainvaltest.zip": Package("11 GB", STILL, _FINE_FOLDERS),
    "leftImg8bit_trainextra.zip": Package("44 GB", STILL, ("train_extra",)),
    "leftImg8bit_sequence_trainvaltest.zip": Package("324 GB", SEQUENCE, _FINE_FOLDERS),
}


def package_text(kind: str, folder: str) -> str:
    """Name and size of the archive that ``{kind}/{folder}`` comes in."""
    name = _package(kind, folder)
    return f"{name} ({PACKAGES[name].size})"


def packages(params: CityscapesParams) -> list[str]:
    """Names of the archives that the parameters need, in the order of the table."""
    needed = set()
    for folder in params.folders():
        needed.add(_package(SEQUENCE if params.sequences and folder != "train_extra" else STILL, folder))
        if not (folder == "train_extra" and params.extra):
            needed.add(_package(truth(folder), folder))
    return [name for name in PACKAGES if name in needed]


def _package(kind: str, folder: str) -> str:
    return next(name for name, one in PACKAGES.items() if one.kind == kind and folder in one.folders)
