"""How often the intervals of the tables hold the true difference, over simulated chains and clips.

``python -m tests.evaluation.test_coverage`` prints the table of docs/metrics.md.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from etc.evaluation.iou import mean_ratio
from etc.reporting.crossed import mean_difference

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
CLIPS, CLASSES, TRUTH = 16, 3, 0.02
# Standard deviations, in points of IoU: between chains, between clips, of a chain on a clip alone. Of a mean over 16
# clips the last two weigh a quarter.
SETTINGS = {
    "chains alone": (1, 0, 0),
    "chains, and each on single clips": (1, 0, 1),
    "all three": (1, 1, 1),
    "all three, mostly chains on single clips": (1, 1, 4),
    "chains and clips alike": (1, 4, 1),
    "mostly clips": (0.3, 4, 0.5),
    "clips alone": (0, 4, 0),
    "clips, and chains on single clips": (0, 2, 2),
    "chains on single clips alone": (0, 0, 4),
}


def counts(chains, clips, deviations, experiments):
    """Intersections and unions (experiments, 2, chains, clips, classes); levels differ by clip and by chain."""
    draw = np.random.default_rng([chains, clips, *(round(10 * one) for one in deviations)])
    between, of_clip, alone = (one / 100 for one in deviations)
    shape = (experiments, chains, clips, CLASSES)
    union = draw.uniform(1e6, 3e6, (experiments, 1, clips, CLASSES))
    level = 0.6 + draw.normal(0, 0.02, (experiments, chains, 1, CLASSES)) + draw.uniform(-0.2, 0.2, union.shape)
    gain = np.full(shape, TRUTH) + between * draw.normal(size=(experiments, chains, 1, CLASSES))
    gain += of_clip * draw.normal(size=(experiments, 1, clips, CLASSES)) + alone * draw.normal(size=shape)
    rates = np.stack([level, level + gain], axis=1)
    union = np.broadcast_to(union[:, None], rates.shape)
    return np.rint(rates * union), union


def chosen(intersection, union):
    """Ends of the tables' interval."""
    return mean_difference(intersection, union, 0.95)[1:3]


def chain_means(intersection, union):
    first, second = np.moveaxis(mean_ratio(intersection.sum(axis=-2), union.sum(axis=-2)), 1, 0)
    return second - first


def over_chains(intersection, union):
    """Student's t over the differences of the chains, as if clips were no sample."""
    found = chain_means(intersection, union)
    margin = stdtrit(found.shape[1] - 1, 0.975) * found.std(axis=1, ddof=1) / np.sqrt(found.shape[1])
    return found.mean(axis=1) - margin, found.mean(axis=1) + margin


def summed(intersection, union):
    """As the tables' interval, but what chains do on single clips is counted with chains and with clips."""
    chains, clips = union.shape[2:4]
    means = chain_means(intersection, union)
    rest = [one.sum(axis=-2, keepdims=True) - one for one in (intersection, union)]
    first, second = np.moveaxis(mean_ratio(*rest), 1, 0)
    of_clips = (second - first).mean(axis=1).var(axis=1) * (clips - 1)
    of_chains = means.var(axis=1, ddof=1) / chains
    variance, parts = of_chains + of_clips, of_chains**2 / (chains - 1) + of_clips**2 / (clips - 1)
    freedom = np.divide(variance**2, parts, out=np.ones_like(parts), where=parts > 0)
    margin = stdtrit(freedom, 0.975) * np.sqrt(variance)
    return means.mean(axis=1) - margin, means.mean(axis=1) + margin


def percentiles(intersection, union, resamples=150):
    """The percentile bootstrap over clips and chains, which the tables had before."""
    draw, chains, clips = np.random.default_rng(0), *union.shape[2:4]
    weights = draw.multinomial(clips, np.full(clips, 1 / clips), resamples).astype(float)
    first, second = np.moveaxis(
        mean_ratio(*(np.tensordot(weights, one, (1, 3)) for one in (intersection, union))), 2, 0
    )
    drawn = draw.multinomial(chains, np.full(chains, 1 / chains), resamples) / chains
    return np.quantile(((second - first) * drawn[:, None]).sum(axis=-1), [0.025, 0.975], axis=0)


METHODS = {"tables": (chosen, 4000), "summed": (summed, 4000), "t over chains": (over_chains, 4000)}
METHODS |= {"percentiles": (percentiles, 300)}


@cache
def coverage(method, chains, setting, clips=CLIPS):
    """Share of the intervals that hold the truth, %, and their width, times that of a known normal distribution."""
    estimate, experiments = METHODS[method]
    made = counts(chains, clips, SETTINGS[setting], experiments)
    low, high = estimate(*made)
    normal = 2 * 1.96 * chain_means(*made).mean(axis=1).std()
    return 100 * np.mean((low <= TRUTH) & (high >= TRUTH)), np.mean(high - low) / normal


def table():
    """Coverage and width of each method with 3 and 5 chains, as Markdown."""
    head = [f"{method}, {chains}" for method in METHODS for chains in (3, 5)]
    lines = [f"| std of chains, clips, both | {' | '.join(head)} |", f"|---|{'---:|' * len(head)}"]
    for name, deviations in SETTINGS.items():
        found = [coverage(method, chains, name) for method in METHODS for chains in (3, 5)]
        cells = [f"{held:.0f} ({width:.1f})" for held, width in found]
        lines.append(f"| {', '.join(f'{one:g}' for one in deviations)}: {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("chains", [3, 5])
def test_intervals_hold_the_truth_as_often_as_they_say_and_are_no_wider_than_they_need(chains, setting):
    held, width = coverage("tables", chains, setting)
    # 4,000 draws: one standard deviation is 0.35 points.
    assert 92.5 <= held <= 97.5
    # With 2 degrees of freedom t is 4.30, which is 2.2 times as wide as the normal distribution.
    assert width < (2.05 if chains == 3 else 1.5)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_chains_may_be_too_few(setting):
    assert coverage("tables", 2, setting)[0] > 87


@pytest.mark.parametrize("clips", [2, 3, 6, 16])
def test_one_chain_on_few_clips_has_an_interval_over_clips(clips):
    assert 93 < coverage("tables", 1, "clips alone", clips)[0] < 97
    assert coverage("tables", 1, "chains alone", clips)[0] < 60, "another chain is not covered by one"


def test_other_estimators_are_too_narrow_or_too_wide_somewhere():
    worst = {method: min(coverage(method, 3, name)[0] for name in SETTINGS) for method in METHODS}
    assert worst["percentiles"] < 80 and worst["t over chains"] < 10
    wide = "chains on single clips alone"
    assert coverage("summed", 5, wide)[0] > 98.5 > 97 > coverage("tables", 5, wide)[0]


def test_the_table_in_the_docs_is_this_one():
    assert table() in DOCS.read_text(encoding="utf-8"), "put the output of this module into docs/metrics.md"


if __name__ == "__main__":
    print(table())
