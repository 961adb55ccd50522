"""Stage ``student``: one small network, trained with one scheme and one seed."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from etc.core.errors import UserError
from etc.dataset.dataset import Dataset
from etc.models import weights
from etc.params import student as params
from etc.params.experiment import Network, Run, Start
from etc.terms import flow as flows
from etc.terms.scheme import build_terms
from etc.training import session
from etc.training.clips import frame_inputs, pseudo_label_file, training_clips
from etc.training.fingerprint import hash_files


def run(dataset: str, architecture: str, scheme: str, seed: int) -> str:
    """Train a student, write ``data/<dataset>/students/<architecture>-<scheme>-<seed>/`` and its history.

    It starts from the network of the stage ``pretrain`` unless ``start`` is ``random``. Flow is opened only for schemes
    with the term tl, the teacher only for those with sf, pf or mf. Start, pseudo-labels and teacher are those of the
    same seed.

    Args:
        dataset: data set name.
        architecture: network, a key of ``widths`` in params/student.yaml.
        scheme: a key of ``schemes`` there.
        seed: seed of weights, batches, augmentation and dropout, >= 0.

    Returns:
        The closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    if seed < 0:
        raise UserError(f"seed {seed}: a seed is a whole number >= 0")
    data = Dataset(dataset)
    term_weights = dict(settings.scheme(scheme))
    network = settings.network(architecture)
    iterations = max(1, round(settings.training.iterations * settings.iterations_factor.get(scheme, 1.0)))
    share = settings.pseudo_share(scheme)
    sampling = settings.sampling.model_copy(update={"pseudo_share": share})
    pseudo = pseudo_label_file(data, seed) if share > 0 else None
    flow = "tl" in term_weights
    distils = params.needs_teacher(term_weights)
    losses = settings.losses.model_dump()
    described = {
        "architecture": network.architecture,
        "width": network.width,
        "seed": seed,
        "iterations": iterations,
        "start": settings.start,
        "weights": term_weights,
        "losses": {name: losses[name] for name in term_weights},
        "sampling": sampling.model_dump(),
        **settings.training.model_dump(exclude={"iterations"}),
    }
    inputs = frame_inputs(data, pseudo)
    if flow:
        inputs |= flows.flow_inputs(data)
    if distils:
        inputs |= {"teacher": hash_files([_teacher_file(data, seed)])}
    student = Run(architecture, scheme, seed)
    return session.run(
        session.Plan(
            dataset=data,
            name=student.name,
            output=data.folder / student.folder,
            network=network,
            seed=seed,
            training=settings.training,
            iterations=iterations,
            described=described,
            inputs=inputs,
            clips=partial(training_clips, data, pseudo, flows.opener(data) if flow else None),
            terms=lambda: build_terms(term_weights, settings.losses, settings.training.class_weights),
            term_weights=term_weights,
            teacher=partial(_read_teacher, data, seed) if distils else None,
            start=data.folder / Start(architecture, seed).folder if settings.start == "pretrained" else None,
            warning=_weak_teacher(data, architecture, seed) if distils and settings.start == "pretrained" else "",
            reach=sampling.partner_reach,
            pseudo_share=sampling.pseudo_share,
        )
    )


def _weak_teacher(data: Dataset, architecture: str, seed: int) -> str:
    """A warning when the teacher is worse on dev than the start of the student; empty when it is not, or unknown.

    It reads what was made together with the weights that the student depends on, and changes no output, so that
    dvc.yaml need not name it.
    """
    histories = {"teacher": Network("teacher", seed).name, "start": Start(architecture, seed).name}
    found = {who: _last_dev_miou(data.folder / "history" / f"{name}.parquet") for who, name in histories.items()}
    if None in found.values() or found["teacher"] >= found["start"]:
        return ""
    return (
        f"warning: the teacher has {found['teacher']:.2f} mIoU on dev, less than the {found['start']:.2f} of the "
        "network that the student starts from: train the teacher longer ('training.iterations' in "
        "params/teacher.yaml), or the start shorter (params/pretrain.yaml)"
    )


def _last_dev_miou(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError):
        return None  # damaged: the report says so, and no student depends on it
    known = table["dev_miou"].drop_null().to_pylist() if "dev_miou" in table.column_names else []
    return known[-1] if known else None


def _teacher_file(data: Dataset, seed: int) -> Path:
    path = data.folder / Network("teacher", seed).folder / weights.WEIGHTS
    if not path.is_file():
        remedy = f"run: etc teacher {data.name} --seed {seed}"
        raise UserError(f"{path}: no such file; {remedy}, or use a scheme without sf, pf and mf")
    return path


def _read_teacher(data: Dataset, seed: int) -> nn.Module:
    folder = data.folder / Network("teacher", seed).folder
    network, config = weights.load(folder)
    weights.check_classes(folder, config, data.label_set.names, "the data set", "train the teacher again")
    return network
