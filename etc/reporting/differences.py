"""Differences between two schemes, paired by seed and clip, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from etc.core.errors import UserError
from etc.evaluation.bootstrap import Interval, interval
from etc.evaluation.iou import mean_ratio
from etc.params.experiment import Run
from etc.params.report import Bootstrap


@dataclass(frozen=True)
class Evaluation:
    """What is known about one run.

    Attributes:
        run: architecture, scheme and seed.
        iou: columns ``clip, frame, class, tp, fp, fn``, one row per frame and class.
        tc: columns ``clip, source, target, flow, protocol, class, intersection, union``, one row per
            pair, flow (the one that judges, or the one to compare with), protocol and class.
        iterations: training iterations.
        train_seconds: wall-clock seconds of training.
    """

    run: Run
    iou: pd.DataFrame
    tc: pd.DataFrame
    iterations: int
    train_seconds: float


def deltas(pairs: list[tuple[Evaluation, Evaluation]], bootstrap: Bootstrap) -> dict[str, float]:
    """Differences of TC and mIoU with their intervals, for pairs (baseline, scheme) of one seed each."""
    sides = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    tc = [[(one.run, protocol(one.tc, "corrected")) for one in side] for side in sides]
    iou = [[(one.run, one.iou.assign(union=one.iou[["tp", "fp", "fn"]].sum(axis=1))) for one in side] for side in sides]
    found: dict[str, Interval] = {
        "tc": _interval(tc, "intersection", bootstrap),
        "miou": _interval(iou, "tp", bootstrap),
    }
    return {
        f"delta_{metric}{end}": 100 * value
        for metric, one in found.items()
        for end, value in zip(("", "_low", "_high"), one, strict=True)
    }


def protocol(tc: pd.DataFrame, name: str, flow: str = "evaluate") -> pd.DataFrame:
    """Rows of one TC protocol, judged by the flow of one purpose of ``params/flow.yaml``."""
    return tc[(tc["protocol"] == name) & (tc["flow"] == flow)]


class _MeanDifference:
    """Mean over seeds of scheme minus baseline, for :func:`etc.evaluation.bootstrap.interval`.

    The bootstrap draws clips; each call on a block of resamples draws the seeds too, so that the interval holds both.
    """

    def __init__(self, seeds: int, seed: int) -> None:
        self.seeds = seeds
        self.draw = np.random.default_rng([seed, 1])

    def __call__(self, numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        shape = (*numerator.shape[:-1], 2, self.seeds, -1)
        scores = mean_ratio(numerator.reshape(shape), denominator.reshape(shape))
        differences = scores[..., 1, :] - scores[..., 0, :]
        if differences.ndim == 1:
            return differences.mean()
        drawn = self.draw.multinomial(self.seeds, np.full(self.seeds, 1 / self.seeds), size=len(differences))
        return (differences * drawn).sum(axis=-1) / self.seeds


def _interval(sides: list[list[tuple[Run, pd.DataFrame]]], numerator: str, bootstrap: Bootstrap) -> Interval:
    """Interval of the mean difference between two lists of runs with the same seeds.

    All NaN without counts; without ends where there is but one clip and one seed: nothing can be drawn anew.
    """
    clips = sorted(sides[0][0][1]["clip"].unique())
    if not clips:
        return Interval(*[float("nan")] * 3)
    classes = 1 + max(int(counts["class"].max()) for side in sides for _, counts in side)
    stacks = []
    for column in (numerator, "union"):
        stacks.append([_per_clip(run, counts, column, clips, classes) for side in sides for run, counts in side])
    # (clips, baseline and scheme, seeds, classes), flat behind the clips as the bootstrap wants it.
    flat = [np.stack(stack, axis=1).reshape(len(clips), -1) for stack in stacks]
    mean = _MeanDifference(len(sides[0]), bootstrap.seed)
    found = interval(*flat, resamples=bootstrap.samples, level=bootstrap.confidence, seed=bootstrap.seed, mean=mean)
    single = len(clips) == len(sides[0]) == 1
    return Interval(found.estimate, float("nan"), float("nan")) if single else found


def _per_clip(run: Run, counts: pd.DataFrame, column: str, clips: list[str], classes: int) -> np.ndarray:
    table = counts.groupby(["clip", "class"])[column].sum().unstack(fill_value=0)
    if sorted(table.index) != clips:
        raise UserError(
            f"run '{run.name}' was evaluated on {len(table)} clips, but not the same as its baseline's {len(clips)}; "
            "run the evaluate stage again for both"
        )
    return table.reindex(index=clips, columns=range(classes), fill_value=0).to_numpy(dtype=np.int64)
