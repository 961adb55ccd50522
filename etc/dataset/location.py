"""Where the files of a data set are: generated ones in data/<data set>/root, others where the user keeps them.

Third-party frames are never copied. In their place ``root`` holds one small file that says how to find the folder,
which may differ between machines without making any stage due.
"""

import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from etc.core.errors import UserError
from etc.core.files import cache_folder, read_json, write_json

POINTER = "external.json"


def data_folder() -> Path:
    """Where fetched data sets are kept between projects: ``$ETC_DATA`` or ``~/.cache/etc-segmentation/datasets``."""
    return Path(os.environ.get("ETC_DATA") or cache_folder() / "datasets")


@dataclass(frozen=True)
class Location:
    """Where to look for the folder of a data set, in this order.

    Attributes:
        root: the folder as the parameters give it, absolute or from the project's root; None when they leave it out.
        variables: environment variables that may name it.
        fetched: name below :func:`data_folder` where a download puts it; empty where there is no download.
        archive: the user's archive that is unpacked there instead; empty for a download.
    """

    root: str | None
    variables: tuple[str, ...] = ()
    fetched: str = ""
    archive: str = ""

    @property
    def download_folder(self) -> Path | None:
        """Where a download goes, whether or not it is there; None for data sets that cannot be downloaded."""
        return data_folder() / self.fetched if self.fetched else None

    def find(self) -> Path | None:
        """The folder; None when nothing names an existing one.

        Raises:
            UserError: the parameters or a variable name a folder that does not exist.
        """
        named = [("root in params/frames.yaml", self.root)]
        named += [(f"the environment variable {name}", os.environ.get(name)) for name in self.variables]
        for origin, value in named:
            if not value:
                continue
            folder = Path(value).expanduser()
            if not folder.is_dir():
                if folder.suffix.lower() == ".zip" and folder.is_file():
                    raise UserError(
                        f"{folder}: not a folder, but named by {origin}; only root in params/frames.yaml may name a "
                        ".zip, and only CamVid's"
                    )
                raise UserError(f"{folder}: no such folder; correct {origin}")
            return folder.resolve()
        return self.download_folder if self.download_folder and self.download_folder.is_dir() else None

    def require(self, name: str) -> Path:
        """The folder, which must exist.

        Args:
            name: of the data set, or of the file that names it, for the message.

        Raises:
            UserError: it is not found.
        """
        folder = self.find()
        if folder is None and self.archive:
            raise UserError(
                f"{name}: the content of {self.archive} is no longer in {self.download_folder}; "
                "run the frames stage again"
            )
        if folder is None:
            raise UserError(f"{name}: the folder of this data set is not found; {self.remedies()}")
        return folder

    def remedies(self) -> str:
        """What a user can do when the folder is not found."""
        ways = ["'root' in params/frames.yaml", *self.variables]
        return f"name its folder by {' or '.join(ways)}"


def variable(dataset: str) -> str:
    """The environment variable that every data set has for its folder, e.g. ``ETC_ROOT_CAMVID``."""
    return f"ETC_ROOT_{dataset.upper()}"


def write_pointer(root: Path, location: Location) -> None:
    """Write the file in ``root`` that says where its files are."""
    fields = {name: value for name, value in asdict(location).items() if value or name != "archive"}
    write_json(root / POINTER, fields)


def locate(root: str | Path, name: str) -> Path:
    """The file that a manifest calls ``name``: below ``root`` where it was generated, else in the third-party folder.

    Raises:
        UserError: the files are elsewhere, and that folder is not found.
    """
    path = Path(root) / name
    if path.exists():
        return path
    foreign = external(root)
    return path if foreign is None else foreign / name


def external(root: str | Path) -> Path | None:
    """The third-party folder of the data set whose ``root`` this is; None when it has none.

    Raises:
        UserError: it has one, and it is not found.
    """
    pointer = Path(root).resolve() / POINTER
    return _external(pointer, pointer.stat().st_mtime_ns) if pointer.exists() else None


@lru_cache(maxsize=16)
def _external(pointer: Path, _: int) -> Path:
    fields = read_json(pointer)
    try:
        location = Location(fields["root"], tuple(fields["variables"]), fields["fetched"], fields.get("archive", ""))
    except (KeyError, TypeError) as error:
        raise UserError(f"{pointer}: not a pointer to a data set; run the frames stage again") from error
    return location.require(str(pointer))
