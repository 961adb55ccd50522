"""Stage ``student``: one small network, trained with one scheme and one seed."""

from functools import partial
from pathlib import Path

from torch import nn

from etc.core.errors import UserError
from etc.dataset import manifest
from etc.dataset.label_sets import LabelSet
from etc.models import weights
from etc.params import student as params
from etc.terms import flow as flows
from etc.terms.scheme import build_terms
from etc.training import session
from etc.training.clips import frame_inputs, training_clips
from etc.training.fingerprint import hash_files


def run(dataset: str, architecture: str, scheme: str, seed: int) -> str:
    """Train a student, write ``data/<dataset>/students/<architecture>-<scheme>-<seed>/`` and its history.

    It starts from the network of the stage ``pretrain`` unless ``start`` is ``random``. Flow is opened only for schemes
    with the term tl, the teacher only for those with sf, pf or mf.

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
    folder = Path("data") / dataset
    classes = manifest.read_label_set(folder / "frames.parquet")
    term_weights = dict(settings.scheme(scheme))
    network = settings.network(architecture)
    iterations = max(1, round(settings.training.iterations * settings.iterations_factor.get(scheme, 1.0)))
    pseudo, flow = settings.sampling.pseudo_share > 0, "tl" in term_weights
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
        "sampling": settings.sampling.model_dump(),
        **settings.training.model_dump(exclude={"iterations"}),
    }
    inputs = frame_inputs(folder, pseudo)
    if flow:
        inputs |= flows.flow_inputs(folder)
    if distils:
        inputs |= {"teacher": hash_files([_teacher_file(folder)])}
    name = f"{architecture}-{scheme}-{seed}"
    return session.run(
        session.Plan(
            dataset=dataset,
            name=name,
            output=folder / "students" / name,
            network=network,
            label_set=classes,
            seed=seed,
            training=settings.training,
            iterations=iterations,
            described=described,
            inputs=inputs,
            clips=partial(training_clips, folder, classes, pseudo, flows.opener(folder) if flow else None),
            terms=lambda: build_terms(term_weights, settings.losses),
            term_weights=term_weights,
            teacher=partial(_read_teacher, folder, classes) if distils else None,
            start=folder / "pretrained" / architecture if settings.start == "pretrained" else None,
            reach=settings.sampling.partner_reach,
            pseudo_share=settings.sampling.pseudo_share,
        )
    )


def _teacher_file(folder: Path) -> Path:
    path = folder / "teacher" / weights.WEIGHTS
    if not path.is_file():
        raise UserError(f"{path}: no such file; run the stage 'teacher', or use a scheme without sf, pf and mf")
    return path


def _read_teacher(folder: Path, classes: LabelSet) -> nn.Module:
    network, config = weights.load(folder / "teacher")
    weights.check_classes(folder / "teacher", config, classes.names, "the data set", "train the teacher again")
    return network
