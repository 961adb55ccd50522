"""``etc adopt``: a data set with a block in params/frames.yaml gets a block in every other parameter file.

The blocks are those of a similar data set, which mostly say what differs from ``.shared``. Values that cannot be right
for the new data set are changed; values that may be wrong are listed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from etc.added_block import Keys, Values, with_block, with_list
from etc.core.errors import UserError
from etc.core.files import atomic, read_json, sha256
from etc.core.names import check_name
from etc.core.outputs import together
from etc.core.params_file import blocks, parse
from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.flow.precision import most_steps
from etc.models import weights
from etc.params import experiment, flow, frames, labeller, pretrain, pseudo_labels, student, teacher
from etc.params.check import PER_DATASET, check_all, check_dataset, known_size, load_block
from etc.sources import class_file
from etc.sources.camvid.classes import SEGNET
from etc.sources.folder.params import FolderParams
from etc.sources.registry import build
from etc.sources.video.params import VideoParams

Block = Mapping[str, Any]
Settings = frames.StreetParams | frames.SourceParams
MODULES = tuple(module for module in PER_DATASET if module is not frames)
# Sources whose classes are fixed.
_FIXED = {"street": STREET, "camvid": SEGNET, "cityscapes": CITYSCAPES}
_CHECKSUM_DIGITS = 12
# Fine enough for estimated flow, coarse enough for frames of 2048 pixels.
_ESTIMATED_STEPS = 16
# Keys whose best value depends on the frames.
_LOOK_AT: tuple[Keys, ...] = (
    ("scales",),
    ("stride",),
    *((purpose, key) for purpose in ("train", "evaluate", "compare") for key in ("method", "path")),
    ("split",),
    ("sample", "share"),
    ("sampling", "pseudo_share"),
    ("training", "iterations"),
    ("training", "augment", "crop"),
    ("training", "augment", "scale"),
)


class Added(NamedTuple):
    """An added block: its file, the values that differ from the copied block, and those to look at."""

    path: Path
    changed: Values
    look_at: Values


def adopt(name: str, like: str, networks_of: str | None, choose: bool) -> list[Added]:
    """Add the blocks of a data set to all parameter files but frames.yaml, where it has one already.

    Args:
        name: data set; it has a block in params/frames.yaml.
        like: data set whose blocks are copied.
        networks_of: data set whose trained networks are taken; None: those of ``like`` for data without labels, none
            for data with labels.
        choose: also make it the only data set that params/experiment.yaml runs.

    Raises:
        UserError: a name is wrong, blocks exist already, or the new blocks fail the check; no file is changed then.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    settings = frames.load(name)
    _check_blocks(name, like)
    copied = {module: module.load(like) for module in MODULES}
    plan = _fitting(experiment.load(), copied[student])
    labelled, classes, networks = is_labelled(settings), class_names(name, settings), {}
    if networks_of or not labelled:
        networks = _networks(networks_of or like, name, classes, plan, copied[teacher], copied[student])
    elif copied[labeller].checkpoint or copied[pretrain].checkpoint:
        raise UserError(
            f"--like {like}: it takes trained networks, but '{name}' has labels to train on; choose a data set with "
            "labels, or take trained networks for it too, with --networks-of"
        )
    keeps_weights = labelled and classes == class_names(like, frames.load(like))
    texts, added = {}, []
    for module in MODULES:
        path, text = module.PATH, _text(module.PATH)
        block = parse(text, path)[like]
        wanted = {**networks.get(module, {}), **_wanted(module, block, settings, keeps_weights)}
        if module is flow:
            wanted |= _steps(block, known_size(name, settings), settings.source == "street")
        changed = {keys: value for keys, value in wanted.items() if _get(block, keys) != value}
        texts[path] = with_block(path, text, like, name, changed)
        added.append(Added(path, changed, _look_at(block, changed)))
    if choose:
        texts[experiment.PATH] = _with_run(name, plan)
    _write(texts, check_all if choose else lambda: check_dataset(plan, name))
    return added


def choose(name: str) -> None:
    """Make a data set that has its blocks the only one that params/experiment.yaml runs.

    The students' networks stay if its block in params/student.yaml has them all, else they are those of that block.

    Args:
        name: data set.

    Raises:
        UserError: it lacks a block, or its blocks fail the check; the file is as it was then.
    """
    frames.load(name)
    plan = _fitting(experiment.load(), load_block(student, name))
    _write({experiment.PATH: _with_run(name, plan)}, check_all)


def _fitting(plan: experiment.ExperimentParams, students: student.StudentParams) -> experiment.ExperimentParams:
    """The plan with networks that a data set has: its own ones where it lacks one of the plan's."""
    if set(plan.architectures) <= set(students.widths):
        return plan
    return plan.model_copy(update={"architectures": list(students.widths)})


def _with_run(name: str, plan: experiment.ExperimentParams) -> str:
    text = with_list(_text(experiment.PATH), "run", [name])
    if plan.architectures == experiment.load().architectures:
        return text
    return with_list(text, "architectures", plan.architectures)


def is_labelled(settings: Settings) -> bool:
    """Whether a data set has labels that training may use: videos have none, a folder may have none."""
    if isinstance(settings, FolderParams):
        return settings.labels is not None and settings.annotated > 0
    return not isinstance(settings, VideoParams)


def class_names(dataset: str, settings: Settings) -> tuple[str, ...]:
    """Names of the classes, position = train id; no frame is looked at.

    Args:
        dataset: name of the data set.
        settings: its block in params/frames.yaml.

    Raises:
        UserError: they are in a file that is missing or wrong, or below a folder that is not found.
    """
    if settings.source in _FIXED:
        return _FIXED[settings.source].names
    try:
        in_file = settings.classes.lower().endswith(class_file.ENDINGS)
        root = build(dataset, settings).location.require(dataset) if in_file else Path()
        return class_file.load(settings.classes, root).names
    except UserError as error:
        raise UserError(f"{frames.PATH}: block '{dataset}': {error}") from error


def _check_blocks(name: str, like: str) -> None:
    """``name`` has a block in frames.yaml only, ``like`` has one in every file."""
    known = {module.PATH: blocks(module.PATH) for module in PER_DATASET}
    taken = [str(path) for path, names in known.items() if name in names and path != frames.PATH]
    if taken:
        raise UserError(f"{', '.join(taken)}: block '{name}' exists already; remove it first")
    for path, names in known.items():
        if like not in names or like == name:
            others = ", ".join(other for other in names if other != name)
            raise UserError(f"--like {like}: {path} has no such block to copy; choose one of {others}")


def _wanted(module: ModuleType, block: Block, settings: Settings, keeps_weights: bool) -> Values:
    """Values that the new data set needs, whatever the copied block says."""
    wanted: Values = {}
    if "training" in block and not keeps_weights:
        wanted["training", "class_weights"] = None
    # The new data set may have nothing on its split dev to judge by.
    if _get(block, ("training", "judge_every")) is not None:
        wanted["training", "judge_every"] = None
        wanted["training", "keep"] = "last"
    if "sampling" in block and not is_labelled(settings):
        wanted["sampling", "pseudo_share"] = 1.0
    if "pseudo_shares" in block and not is_labelled(settings):
        # A scheme that shows what pseudo-labels are worth needs other labels beside them.
        wanted["pseudo_shares",] = {}
    spacing = settings.annotated if isinstance(settings, FolderParams) else 0
    if module is pseudo_labels and spacing > 1 and block["stride"] % spacing == 0:
        # Of a folder, training uses the label of every spacing-th frame; a multiple would reach no other frame.
        wanted["stride",] = 1
    if module is flow and settings.source != "street":
        # Only rendered frames have exact flow. The judge's method differs from the one trained with.
        trained = block["train"]["method"]
        for purpose, one in block.items():
            if one["method"] == "exact":
                judge = purpose == "evaluate" and trained != "farneback"
                wanted[purpose, "method"] = "farneback" if judge else "dis"
            if one["visibility"] == "exact":
                wanted[purpose, "visibility"] = "forward_backward"
    clips = _get(block, ("sample", "clips"))
    # Clips are named as in the other data set.
    if clips is not None and (clips, settings.source) != ("cityscapes_tc", "cityscapes"):
        wanted["sample", "clips"] = None
    return wanted


def _steps(block: Block, size: tuple[int, int] | None, rendered: bool) -> Values:
    """Steps per pixel that can hold the flow of the new frames; the fine ones of exact flow suit no estimate."""
    wanted: Values = {}
    for purpose, one in block.items():
        steps = one["steps_per_pixel"]
        if one["method"] == "exact" and not rendered:
            steps = min(steps, _ESTIMATED_STEPS)
        wanted[purpose, "steps_per_pixel"] = min(steps, most_steps(max(size))) if size else steps
    return wanted


def _look_at(block: Block, changed: Values) -> Values:
    """Values that are kept, though the best choice depends on the frames."""
    if changed.get(("checkpoint",)):
        # The network is taken as it is: the other keys have no effect.
        return {}
    found = {keys: _get(block, keys) for keys in _LOOK_AT}
    return {keys: value for keys, value in found.items() if value is not None and keys not in changed}


def _get(block: Any, keys: Keys) -> Any:
    for key in keys:
        block = block.get(key) if isinstance(block, Mapping) else None
    return block


def _networks(
    owner: str,
    name: str,
    classes: tuple[str, ...],
    plan: experiment.ExperimentParams,
    teachers: teacher.TeacherParams,
    students: student.StudentParams,
) -> dict[ModuleType, Values]:
    """Values of labeller.yaml and pretrain.yaml that name the trained networks of ``owner``, if they fit ``name``."""
    architecture, *others = plan.architectures
    # The network that starts from each, and so must be the same: file, key, network.
    starting = {}
    if teachers.start == "labeller":
        starting[labeller] = teacher.PATH, "network", teachers.network
    if students.start == "pretrained":
        starting[pretrain] = student.PATH, f"widths.{architecture}", students.network(architecture)
        if others:
            raise UserError(
                f"{experiment.PATH}: key 'architectures' lists {', '.join(plan.architectures)}, but only students of "
                "one architecture can start from a trained network; leave one"
            )
    networks = {}
    # One of the owner's chains is enough: it labels and starts all chains of the new data set.
    seed = plan.seeds[0]
    trained = ((labeller, experiment.Network("labeller", seed)), (pretrain, experiment.Start(architecture, seed)))
    for module, one in trained:
        folder = Dataset(owner).folder / one.folder
        config = _config(folder, owner, name, classes)
        if module in starting:
            path, key, network = starting[module]
            found = f"{config['architecture']} of width {config['width']}"
            wanted = f"{network.architecture} of width {network.width}"
            if found != wanted:
                raise UserError(
                    f"{folder}: {found}, but key '{key}' in {path} of the block to copy says {wanted}, which cannot "
                    "start from it; choose --like and --networks-of that fit"
                )
        digits = sha256(folder / weights.WEIGHTS)[:_CHECKSUM_DIGITS]
        networks[module] = {("checkpoint",): folder.as_posix(), ("checksum",): digits}
    return networks


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


def _text(path: Path) -> str:
    # Not read_text, which would change Windows line ends.
    return path.read_bytes().decode("utf-8")


def _write(texts: Mapping[Path, str], check: Callable[[], Any]) -> None:
    """Write all files; put them back as they were when one cannot be written or the check fails."""
    before = {path: path.read_bytes() for path in texts}
    try:
        with together():
            for path, text in texts.items():
                _replace(path, text.encode("utf-8"))
        check()
    except BaseException as error:
        for path, content in before.items():
            if path.read_bytes() != content:
                _replace(path, content)
        if isinstance(error, UserError):
            raise UserError(f"{error}; params/ is as it was") from error
        raise


def _replace(path: Path, content: bytes) -> None:
    # A file that is linked from elsewhere is edited where it lies.
    with atomic(path.resolve()) as stream:
        stream.write(content)
