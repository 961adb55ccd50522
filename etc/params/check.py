"""Every parameter file checked at once, before anything runs."""

import re

from etc.errors import UserError
from etc.params import data, evaluate, flow, frames, labeller, pretrain, pseudo_labels, report, student, teacher

PER_DATASET = (frames, labeller, pretrain, pseudo_labels, flow, teacher, student, evaluate, report)


def check_all() -> data.DataParams:
    """Read all parameter files for all data sets in use.

    Returns:
        The parameters of ``params/data.yaml``.

    Raises:
        UserError: the first complaint; it names the file, the key, the value and what is allowed.
    """
    experiment = data.load()
    for dataset in experiment.run:
        for module in PER_DATASET:
            module.load(dataset)
        _check_architectures(experiment, dataset)
        _check_schemes(experiment, dataset)
        _check_flow(experiment, dataset)
        report.check_declared(dataset, report.load(dataset), experiment.runs())
    return experiment


def _check_architectures(experiment: data.DataParams, dataset: str) -> None:
    """The architectures of data.yaml can be part of a run's name, and are defined."""
    for name in experiment.architectures:
        if not re.fullmatch(data.NAME, name):
            raise UserError(
                f"{data.PATH}: key 'architectures' = '{name}': use lower-case letters, digits and '_' alone; a Hugging "
                f"Face model stands under such a name in 'widths' of {student.PATH}"
            )
        student.load(dataset).network(name)


def _check_schemes(experiment: data.DataParams, dataset: str) -> None:
    """The schemes of data.yaml are defined, and each stands in the group whose dependencies it has."""
    schemes = student.load(dataset).schemes
    for group_name in ("plain", "distilled", "ablation"):
        for scheme in getattr(experiment, group_name).schemes:
            key = f"{data.PATH}: key '{group_name}.schemes'"
            if scheme not in schemes:
                known = ", ".join(schemes)
                raise UserError(f"{key}: scheme '{scheme}' is not in {student.PATH}, block '{dataset}'; known: {known}")
            distils = student.needs_teacher(schemes[scheme])
            if distils and group_name == "plain":
                raise UserError(
                    f"{key}: scheme '{scheme}' learns from the teacher; move it to 'distilled' or 'ablation'"
                )


def _check_flow(experiment: data.DataParams, dataset: str) -> None:
    """Where TL is trained, flow is there for every partner that may be drawn."""
    offset = flow.load(dataset).train.max_offset
    students, teacher_params = student.load(dataset), teacher.load(dataset)
    reaches = {}
    if teacher_params.tl:
        reaches[teacher.PATH] = teacher_params.sampling.partner_reach
    if any("tl" in students.schemes[run.scheme] for run in experiment.runs()):
        reaches[student.PATH] = students.sampling.partner_reach
    for path, reach in reaches.items():
        if reach > offset:
            raise UserError(
                f"{path}: key '{dataset}.sampling.partner_reach' = {reach}: there is no flow that far; "
                f"use at most {offset}, or raise '{dataset}.train.max_offset' in {flow.PATH}"
            )
