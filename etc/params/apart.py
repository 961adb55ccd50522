"""A user's own files lie apart from what the stages of a data set make."""

import os
from pathlib import Path

from etc.core.errors import UserError
from etc.dataset.location import variable
from etc.params import frames

# DVC and Snakemake delete the outputs of a stage before they run it.
MADE = ("data/{}/root", "data/{}/flow", "data/{}/evaluation", "work/{}")


def check_frames(dataset: str, settings: frames.StreetParams | frames.SourceParams) -> None:
    """Refuse frames, labels and a class file that lie where stages of the data set delete what is there.

    Args:
        dataset: name of the data set.
        settings: its block in params/frames.yaml.

    Raises:
        UserError: one lies there; it names the key.
    """
    if isinstance(settings, frames.StreetParams):
        return
    place, root = f"{frames.PATH}: key '{dataset}.root'", settings.root
    if root is None:
        place, root = f"the environment variable {variable(dataset)}", os.environ.get(variable(dataset))
    if root:
        check_path(dataset, place, root)
    for key in ("images", "labels", "videos", "classes"):
        if value := getattr(settings, key, None):
            for path in {value, Path(root or "", value)}:
                check_path(dataset, f"{frames.PATH}: key '{dataset}.{key}'", path)


def check_path(dataset: str, place: str, path: str | Path, made: tuple[str, ...] = MADE) -> None:
    """Refuse a path at or below one of the folders ``made``, in which ``{}`` stands for the data set.

    Args:
        dataset: name of the data set.
        place: key or variable that names the path, for the message.
        path: the path.
        made: folders whose content stages delete.

    Raises:
        UserError: the path lies in one.
    """
    if "\0" in str(path):
        raise UserError(f"{place} = {str(path)!r}: no path holds the character \\0; correct it")
    found = Path(os.path.realpath(Path(path).expanduser()))
    for folder in (one.format(dataset) for one in made):
        if found.is_relative_to(os.path.realpath(folder)):
            raise UserError(
                f"{place} = '{path}': lies in {folder}, which stages of '{dataset}' delete and make again; keep your "
                "own files elsewhere"
            )
