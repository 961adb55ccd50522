"""The terms of a student's scheme."""

from collections.abc import Sequence
from typing import get_args

from etc.params.student import LossParams, Scheme
from etc.params.training import TermName
from etc.terms.distillation import MultiFrameTerm, PairTerm, SingleFrameTerm
from etc.terms.motion import MotionTerm
from etc.training.objective import Term


def build_terms(scheme: Scheme, losses: LossParams, class_weights: Sequence[float] | None = None) -> dict[str, Term]:
    """The terms that a scheme names, in the order tl, sf, pf, mf.

    Args:
        scheme: weight of each term by its name.
        losses: details of the terms.
        class_weights: those of the cross-entropy; needed where ``losses.sf.class_weighted`` is set.
    """
    terms: dict[str, Term] = {}
    if "tl" in scheme:
        terms["tl"] = MotionTerm(losses.tl)
    if "pf" in scheme:
        terms["pf"] = PairTerm(losses.pf)
    if "mf" in scheme:
        terms["mf"] = MultiFrameTerm(losses.mf)
    if "sf" in scheme:
        seen = max([1, *(term.frames for term in terms.values())])
        terms["sf"] = SingleFrameTerm(losses.sf, seen, class_weights)
    return {name: terms[name] for name in get_args(TermName) if name in terms}
