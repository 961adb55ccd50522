"""What each term is worth: each scheme beside the one that lacks one of its terms, and beside those without a teacher.

Two schemes are compared

- when one has exactly one term more, their common terms have the same weights, and both train as long, on the same
  share of pseudo-labels;
- when one learns from the teacher and the other does not, and the first is trained in as many chains as any: this holds
  what the method does against what can be had without a teacher, training longer included.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from etc.reporting import tables
from etc.reporting.differences import deltas, pairs
from etc.reporting.evaluations import Evaluation

COLUMNS = ["architecture", "scheme", "against", "term", "chains", *tables.DELTA_COLUMNS]


class Comparison(NamedTuple):
    """Two schemes.

    Attributes:
        scheme: the one with more.
        against: the one that is subtracted.
        term: what ``scheme`` has more; empty for several.
    """

    scheme: str
    against: str
    term: str


def comparisons(
    runs: Mapping[str, int],
    schemes: Mapping[str, Mapping[str, float]],
    factors: Mapping[str, float],
    pseudo_shares: Mapping[str, float],
    distilled: Collection[str],
) -> list[Comparison]:
    """The pairs of schemes to compare, in the order of ``runs``.

    Args:
        runs: number of seeds of each trained scheme.
        schemes: weights of the terms by scheme.
        factors: how many times longer schemes train that do not train as long as the others.
        pseudo_shares: share of pseudo-labels of each trained scheme.
        distilled: the schemes that learn from the teacher.
    """
    found = []
    for scheme, seeds in runs.items():
        for against in runs:
            term = _one_term(schemes[scheme], schemes[against])
            alike = (
                factors.get(scheme, 1) == factors.get(against, 1) and pseudo_shares[scheme] == pseudo_shares[against]
            )
            if term and alike:
                found.append(Comparison(scheme, against, term))
            elif scheme in distilled and against not in distilled and seeds == max(runs.values()):
                found.append(Comparison(scheme, against, ""))
    return found


def table(
    evaluations: Sequence[Evaluation],
    compared: Sequence[Comparison],
    confidence: float,
    frequent: np.ndarray | None = None,
) -> pd.DataFrame:
    """One row per architecture and comparison with a common seed, columns ``COLUMNS``, in points, not rounded."""
    rows = []
    for architecture in dict.fromkeys(one.run.architecture for one in evaluations):
        for one in compared:
            found = pairs(evaluations, architecture, one.against, one.scheme)
            if found:
                values = deltas(found, confidence, frequent)
                rows.append({"architecture": architecture, **one._asdict(), "chains": len(found), **values})
    return pd.DataFrame(rows, columns=COLUMNS)


def display(found: pd.DataFrame) -> pd.DataFrame:
    """The table as short texts for readers."""
    shown = found[["architecture", "scheme", "against"]].assign(
        term=found["term"].str.upper(),
        chains=found["chains"].astype(str),
        ΔTC=tables.with_interval(found, "delta_tc", "chains"),
        **{f"Δ{tables.FREQUENT}": tables.with_interval(found, "delta_tc_frequent", "chains")},
        Δagreement=tables.with_interval(found, "delta_agreement", "chains"),
        ΔmIoU=tables.with_interval(found, "delta_miou", "chains"),
    )
    return tables.without_empty(shown)


def note(confidence: float) -> str:
    """What the rows and columns are, in a few sentences."""
    return (
        "Differences in percentage points, scheme minus against, mean over the chains that both have. Rows with a "
        "term: the schemes are the same but for this one, and train as long on the same labels. Rows without: the "
        "scheme learns from the teacher, the other does not. In brackets the "
        f"{100 * confidence:g} % interval over chains and clips. {tables.ONE_CHAIN}"
    )


def _one_term(more: Mapping[str, float], fewer: Mapping[str, float]) -> str:
    """The term that the first has beyond the second, where it is the only difference; else empty."""
    added = [name for name in more if name not in fewer]
    same = all(more.get(name) == weight for name, weight in fewer.items())
    return added[0] if same and len(added) == 1 else ""
