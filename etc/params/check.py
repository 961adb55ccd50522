"""Every parameter file checked at once, before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from etc.core.errors import UserError
from etc.core.params_file import blocks
from etc.models.names import INSTALLED, PACKAGED, PACKAGED_WIDTH, is_huggingface
from etc.params import (
    apart,
    evaluate,
    experiment,
    flow,
    frames,
    labeller,
    pretrain,
    pseudo_labels,
    report,
    student,
    teacher,
)

MANIFEST = "data/{}/frames.parquet"
PER_DATASET = (frames, labeller, pretrain, pseudo_labels, flow, teacher, student, evaluate, report)


def check_all() -> experiment.ExperimentParams:
    """Read all parameter files for all data sets in use.

    Returns:
        The parameters of ``params/experiment.yaml``.

    Raises:
        UserError: the first complaint; it names the file, the key, the value and what is allowed.
    """
    plan = experiment.load()
    for dataset in plan.run:
        check_dataset(plan, dataset)
    return plan


def check_dataset(plan: experiment.ExperimentParams, dataset: str) -> None:
    """Check all blocks of one data set, which need not be in use.

    Args:
        plan: params/experiment.yaml.
        dataset: name of the data set.

    Raises:
        UserError: the first complaint, as for :func:`check_all`.
    """
    block = {module: load_block(module, dataset) for module in PER_DATASET}
    _check_apart(dataset, block)
    _check_networks(plan, dataset, block[student])
    _check_backbones(plan, dataset, block)
    _check_schemes(plan, dataset, block[student].schemes)
    _check_flow(plan, dataset, block[flow].train.max_offset, block[teacher], block[student])
    _check_precision(dataset, block[frames], block[flow])
    report.check_declared(dataset, block[report], plan.runs())


def known_size(dataset: str, settings: frames.StreetParams | frames.SourceParams) -> tuple[int, int] | None:
    """Height and width of the largest frames of a data set, pixels, where its block or its manifest says them.

    Args:
        dataset: name of the data set.
        settings: its block in params/frames.yaml.
    """
    stated = frames.stated_size(settings)
    if None not in stated:
        return stated
    path = MANIFEST.format(dataset)
    if not Path(path).is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["height", "width"])
    except (OSError, pa.ArrowException):
        return None  # damaged: the stages that read it say so
    height, width = (max(table[name].to_pylist(), default=0) for name in table.column_names)
    # Its height differs from the block's: the frames are about to be made again.
    return (height, width) if height and stated[0] in (None, height) else None


def load_block(module: ModuleType, dataset: str) -> Any:
    """Read the block of one data set in one parameter file.

    Args:
        module: of ``etc.params``, the one of the file.
        dataset: name of the data set.

    Raises:
        UserError: the file or the block is missing or wrong; a data set of frames.yaml alone is told how to add it.
    """
    try:
        return module.load(dataset)
    except UserError:
        if dataset in blocks(module.PATH) or dataset not in blocks(frames.PATH):
            raise
        raise UserError(
            f"{module.PATH}: no block for data set '{dataset}'; `etc adopt {dataset} --like DATASET` copies those of a "
            "similar data set into all files"
        ) from None


def _check_apart(dataset: str, block: Mapping[ModuleType, Any]) -> None:
    """No block names a path whose content the stages of the data set delete."""
    apart.check_frames(dataset, block[frames])
    for purpose, one in block[flow]:
        if one.path is not None:
            apart.check_path(dataset, f"{flow.PATH}: key '{dataset}.{purpose}.path'", one.path)
    for module, own in ((labeller, "data/{}/labeller"), (pretrain, "data/{}/pretrained")):
        if (path := block[module].checkpoint) is not None:
            apart.check_path(dataset, f"{module.PATH}: key '{dataset}.checkpoint'", path, (own,))


def _check_networks(plan: experiment.ExperimentParams, dataset: str, students: student.StudentParams) -> None:
    """The block has the networks of all students."""
    for architecture in plan.architectures:
        if architecture not in students.widths:
            raise UserError(
                f"{student.PATH}: key '{dataset}.widths': no width for '{architecture}', which is in 'architectures' "
                f"of {experiment.PATH}; given: {', '.join(students.widths)}; `etc adopt {dataset} --run` runs this "
                "data set alone with what is given"
            )


def _check_backbones(plan: experiment.ExperimentParams, dataset: str, block: Mapping[ModuleType, Any]) -> None:
    """Installed weights fit their networks, and no network keeps the statistics of random weights."""
    students = [block[student].network(architecture) for architecture in plan.architectures]
    trained = {
        labeller: ([block[labeller].network], False),
        pretrain: (students, False),
        teacher: ([block[teacher].network], block[teacher].start == "labeller"),
        student: (students, block[student].start == "pretrained"),
    }
    for module, (networks, starts) in trained.items():
        training = block[module].training
        key = f"{module.PATH}: key '{dataset}.training"
        for network in networks:
            name, width = network.architecture, network.width
            if training.backbone == INSTALLED and (name not in PACKAGED or width != PACKAGED_WIDTH):
                raise UserError(
                    f"{key}.backbone' = '{INSTALLED}': packages have weights of {', '.join(PACKAGED)}, of width "
                    f"{PACKAGED_WIDTH}, not of {name} of width {width}; give the path of a file, or null"
                )
            if training.freeze_bn and training.backbone is None and not starts and not is_huggingface(name):
                raise UserError(
                    f"{key}.freeze_bn' = true: the network starts from random weights, which have no statistics to "
                    "keep; give 'backbone', or set freeze_bn to false"
                )


def _check_schemes(plan: experiment.ExperimentParams, dataset: str, schemes: Mapping[str, student.Scheme]) -> None:
    """The schemes of experiment.yaml are defined, and each is in the group whose dependencies it has."""
    for name, (listed, _) in plan.groups().items():
        for scheme in listed:
            key = f"{experiment.PATH}: key '{name}'"
            if scheme not in schemes:
                known = ", ".join(schemes)
                raise UserError(f"{key}: scheme '{scheme}' is not in {student.PATH}, block '{dataset}'; known: {known}")
            distils = student.needs_teacher(schemes[scheme])
            if distils and name == "plain":
                raise UserError(
                    f"{key}: scheme '{scheme}' learns from the teacher; move it to 'distilled' or 'ablation'"
                )


def _check_flow(
    plan: experiment.ExperimentParams,
    dataset: str,
    offset: int,
    one_teacher: teacher.TeacherParams,
    students: student.StudentParams,
) -> None:
    """Where TL is trained, every partner that may be drawn has flow, which reaches ``offset`` frames."""
    reaches = {}
    if one_teacher.tl:
        reaches[teacher.PATH] = one_teacher.sampling.partner_reach
    if any("tl" in students.schemes[run.scheme] for run in plan.runs()):
        reaches[student.PATH] = students.sampling.partner_reach
    for path, reach in reaches.items():
        if reach > offset:
            raise UserError(
                f"{path}: key '{dataset}.sampling.partner_reach' = {reach}: flow does not reach that far; "
                f"use at most {offset}, or raise '{dataset}.train.max_offset' in {flow.PATH}"
            )


def _check_precision(dataset: str, settings: frames.StreetParams | frames.SourceParams, block: flow.FlowBlock) -> None:
    """Flow of the frames can be stored in the steps that are asked for, where their size is known."""
    size = known_size(dataset, settings)
    for purpose in type(block).model_fields if size else ():
        try:
            flow.check_precision(dataset, purpose, getattr(block, purpose), size)
        except UserError as error:
            if None not in frames.stated_size(settings):
                raise
            path = MANIFEST.format(dataset)
            raise UserError(f"{error} ({path} has their size; delete it if they have changed since)") from error
