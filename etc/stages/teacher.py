"""Stage ``teacher``: the network that students learn from, trained with cross-entropy and the temporal loss."""

from functools import partial

from etc.dataset.dataset import Dataset
from etc.params import teacher as params
from etc.params.experiment import Network
from etc.terms import flow as flows
from etc.terms.motion import MotionTerm
from etc.training import session
from etc.training.clips import frame_inputs, pseudo_label_file, training_clips


def run(dataset: str, seed: int) -> str:
    """Train a teacher, write ``data/<dataset>/teacher/<seed>/`` and its history; return the closing line.

    Args:
        dataset: data set name.
        seed: seed of the chain, >= 0, whose labeller and pseudo-labels it uses.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    data = Dataset(dataset)
    network = Network("teacher", seed)
    pseudo = pseudo_label_file(data, seed) if settings.sampling.pseudo_share > 0 else None
    weights = {"tl": settings.tl} if settings.tl else {}
    return session.run(
        session.Plan(
            dataset=data,
            name=network.name,
            output=data.folder / network.folder,
            network=settings.network,
            seed=seed,
            training=settings.training,
            iterations=settings.training.iterations,
            described={"seed": seed, **settings.model_dump()},
            inputs=frame_inputs(data, pseudo) | (flows.flow_inputs(data) if weights else {}),
            clips=partial(training_clips, data, pseudo, flows.opener(data) if weights else None),
            terms=lambda: {name: MotionTerm(settings.motion) for name in weights},
            term_weights=weights,
            reach=settings.sampling.partner_reach,
            start=data.folder / Network("labeller", seed).folder if settings.start == "labeller" else None,
            pseudo_share=settings.sampling.pseudo_share,
        )
    )
