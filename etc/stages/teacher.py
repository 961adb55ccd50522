"""Stage ``teacher``: the network that students learn from, trained with cross-entropy and the temporal loss."""

from functools import partial

from etc.dataset.dataset import Dataset
from etc.params import teacher as params
from etc.terms import flow as flows
from etc.terms.motion import MotionTerm
from etc.training import session
from etc.training.clips import frame_inputs, training_clips


def run(dataset: str) -> str:
    """Train the teacher, write ``data/<dataset>/teacher/`` and its history; return the closing line.

    Raises:
        UserError: a parameter or an input is missing or wrong, or the training diverges.
    """
    settings = params.load(dataset)
    data = Dataset(dataset)
    pseudo = settings.sampling.pseudo_share > 0
    weights = {"tl": settings.tl} if settings.tl else {}
    return session.run(
        session.Plan(
            dataset=data,
            name="teacher",
            output=data.folder / "teacher",
            network=settings.network,
            seed=settings.seed,
            training=settings.training,
            iterations=settings.training.iterations,
            described=settings.model_dump(),
            inputs=frame_inputs(data, pseudo) | (flows.flow_inputs(data) if weights else {}),
            clips=partial(training_clips, data, pseudo, flows.opener(data) if weights else None),
            terms=lambda: {name: MotionTerm(settings.motion) for name in weights},
            term_weights=weights,
            reach=settings.sampling.partner_reach,
            start=data.folder / "labeller" if settings.start == "labeller" else None,
            pseudo_share=settings.sampling.pseudo_share,
        )
    )
