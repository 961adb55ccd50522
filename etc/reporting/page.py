"""The report as an HTML page that needs no network: findings, moving comparison, tables, plots, how to read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from etc.reporting import tables
from etc.templates import environment

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        title: heading.
        path: relative to the page.
        caption: what it shows, one to three sentences.
        width: as it is shown, CSS pixels; narrower screens shrink it.
    """

    title: str
    path: str
    caption: str
    width: int = 0


class Block(NamedTuple):
    """A table of texts with a note below.

    Attributes:
        table: what is shown.
        note: explains its rows and columns.
    """

    table: pd.DataFrame
    note: str


class Provenance(NamedTuple):
    """What a page is made from.

    Attributes:
        packages: names and versions of those that the numbers depend on.
        seeds: of the chains.
        machine: whether a file beside the page says where its numbers were made.
    """

    packages: Mapping[str, str]
    seeds: Sequence[int]
    machine: bool


def pictures(clip: str, runs: list[str], smoothing: int, labelled: bool, audited: bool, judged: bool) -> list[Picture]:
    """The report's pictures with their captions.

    Args:
        clip: name of the clip in the strip and the animation.
        runs: names of the runs shown there, the baseline first.
        smoothing: recorded steps that one point of a loss curve averages.
        labelled: whether there is an mIoU.
        audited: whether the accuracy of the pseudo-labels is known.
        judged: whether students were judged on dev while they trained.
    """
    shown = ", ".join(runs)
    marks = (
        "the dashed lines go through the baseline. Large marks are means over seeds with one standard deviation "
        "(ddof 1), small dots single seeds."
    )
    kept = "What the labellers' predictions on unlabelled frames keep after the confidence filter, means over chains"
    return [
        Picture(
            "Differences to the baseline",
            "plots/differences.png",
            f"Right is steadier{', up is more often right' * labelled}; lines are intervals. Hollow marks are of one "
            "chain, whose interval holds for its labeller, teacher and start.",
        ),
        Picture(
            "Quality against consistency" if labelled else "Two measures of consistency",
            "plots/schemes.png",
            f"Right is steadier, up is more often right; {marks}"
            if labelled
            else "The data has no labels, so nothing here says which predictions are right. Right is steadier as a "
            f"mean over classes (TC), up is steadier as a share of pixels (agreement); {marks}",
        ),
        Picture(
            "Class by class",
            "plots/classes.png",
            "Means over chains; the largest gain of TC is on top, the numbers are differences in percentage points.",
        ),
        Picture(
            "Clip by clip",
            "plots/clips.png",
            "Differences to the baseline in each clip alone: is the gain there everywhere? Large marks are means over "
            "chains, small dots single chains; only schemes that every chain trains.",
        ),
        Picture(
            "Consecutive frames",
            "plots/strip.png",
            f"Frames of clip {clip} from left to right. Runs: {shown}. Look for patches "
            "that come and go from frame to frame.",
        ),
        Picture(
            "Loss curves",
            "plots/losses.png",
            f"One panel per term, for the schemes that use it; each point averages {smoothing} recorded steps. "
            "Lines are means over seeds, bands their range.",
        ),
        *[
            Picture(
                "Learning curves",
                "plots/learning.png",
                "mIoU and TC on the dev clips while the students trained. Thick lines are means over seeds, thin ones "
                "single seeds.",
            )
        ]
        * judged,
        Picture(
            "Pseudo-labels",
            "plots/pseudo_labels.png",
            f"{kept}, and how often they are right before and after the filter. The truth is used here alone, never in "
            "training."
            if audited
            else f"{kept}.",
        ),
    ]


def render(
    dataset: str,
    found: Sequence[str],
    videos: Mapping[str, str],
    compared: Sequence[str],
    milliseconds: int,
    main: Block,
    schemes: Block,
    further: Mapping[str, Block],
    pictures: list[Picture],
    labelled: bool,
    files: list[str],
    provenance: Provenance,
) -> str:
    """The page as HTML.

    Args:
        dataset: name of the data set.
        found: sentences for the first screen.
        videos: paths by clip, relative to the page.
        compared: names of the runs in the videos, from top to bottom.
        milliseconds: time each of their frames is shown.
        main: the rows of the scheme table that every chain has.
        schemes: the scheme table, see :func:`etc.reporting.tables.display`.
        further: more tables by their headings.
        pictures: in the order shown.
        labelled: whether there is an mIoU.
        files: paths of the table files, relative to the page.
        provenance: what the page is made from.
    """
    return (
        environment(TEMPLATES)
        .get_template("page.html")
        .render(
            dataset=dataset,
            found=found,
            videos=videos,
            compared=compared,
            milliseconds=milliseconds,
            main=_narrow(main),
            schemes=_narrow(schemes),
            further=[(title, _narrow(block)) for title, block in further.items()],
            pictures=pictures,
            labelled=labelled,
            files=files,
            provenance=provenance,
            text_columns=tables.WORDS,
        )
    )


def _narrow(block: Block) -> Block:
    """Without the column of architectures where there is one of them."""
    table = block.table
    return block._replace(table=table if table["architecture"].nunique() > 1 else table.drop(columns="architecture"))
