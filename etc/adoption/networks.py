"""Trained networks of one data set that stand in for those that another one, without labels, cannot train."""

from pathlib import Path
from typing import Any, NamedTuple

from etc.core.errors import UserError
from etc.core.files import read_json, sha256
from etc.models import weights
from etc.params import experiment as data
from etc.params import student, teacher
from etc.params.training import NetworkParams

_DIGITS = 12


class Given(NamedTuple):
    """A trained network: its folder, and the first hex digits of the SHA-256 of its weights."""

    checkpoint: str
    checksum: str


class Networks(NamedTuple):
    """The network that labels frames, and the one that students start from."""

    labeller: Given
    start: Given


def find(
    owner: str,
    name: str,
    classes: tuple[str, ...],
    experiment: data.DataParams,
    teachers: teacher.TeacherParams,
    students: student.StudentParams,
) -> Networks:
    """The trained networks of a data set, which must fit the one that takes them.

    Args:
        owner: data set that has them.
        name: data set that takes them.
        classes: its class names, position = train id.
        experiment: params/data.yaml.
        teachers: its block in params/teacher.yaml, or the one that is copied for it.
        students: the same of params/student.yaml.

    Raises:
        UserError: they are not trained yet, have other classes, or are no start for its teacher or its students.
    """
    architecture, *others = experiment.architectures
    starts = students.start == "pretrained"
    if others and starts:
        raise UserError(
            f"{data.PATH}: key 'architectures' lists {', '.join(experiment.architectures)}, but students of one alone "
            f"can start from a given network; leave one"
        )
    labeller, start = Path("data") / owner / "labeller", Path("data") / owner / "pretrained" / architecture
    of_labeller = _config(labeller, owner, name, classes)
    of_start = _config(start, owner, name, classes)
    if teachers.start == "labeller":
        _check_same(labeller, of_labeller, teacher.PATH, "network", teachers.network)
    if starts:
        _check_same(start, of_start, student.PATH, f"widths.{architecture}", students.network(architecture))
    return Networks(*(Given(folder.as_posix(), _checksum(folder)) for folder in (labeller, start)))


def _config(folder: Path, owner: str, name: str, classes: tuple[str, ...]) -> dict[str, Any]:
    for file in (weights.WEIGHTS, weights.CONFIG):
        if not (folder / file).is_file():
            raise UserError(
                f"{folder / file}: no such file; '{name}' needs this network: run the chain for '{owner}' first, "
                "or name a data set that has been through it with --networks-of"
            )
    config = read_json(folder / weights.CONFIG)
    remedy = "correct 'classes' in params/frames.yaml, or name another data set with --networks-of"
    weights.check_classes(folder, config, classes, f"the data set '{name}'", remedy)
    return config


def _check_same(folder: Path, config: dict[str, Any], path: Path, key: str, network: NetworkParams) -> None:
    """What starts from a network has its architecture and width."""
    found = f"{config['architecture']} of width {config['width']}"
    wanted = f"{network.architecture} of width {network.width}"
    if found != wanted:
        raise UserError(
            f"{folder}: {found}, but key '{key}' in {path} of the block to copy says {wanted}, which cannot start "
            "from it; take --like and --networks-of that fit"
        )


def _checksum(folder: Path) -> str:
    return sha256(folder / weights.WEIGHTS)[:_DIGITS]
