"""The report as one HTML page that needs no network: table, plots and how to read them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        title: heading.
        path: relative to the page.
        caption: what it shows, one to three sentences.
        wide: shown over the full width of the page.
    """

    title: str
    path: str
    caption: str
    wide: bool = False


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
            "Quality against consistency" if labelled else "Two measures of consistency",
            "plots/schemes.png",
            f"Right is steadier, up is more often right; {marks}"
            if labelled
            else "The data has no labels, so nothing here says which predictions are right. Right is steadier as a "
            f"mean over classes (TC), up is steadier as a share of pixels (agreement); {marks}",
        ),
        Picture(
            "Consecutive frames",
            "plots/strip.png",
            f"Frames of clip {clip} from left to right. Runs: {shown}. Look for patches "
            "that come and go from frame to frame.",
            wide=True,
        ),
        Picture(
            "The same clip, moving",
            "plots/overlay.webp",
            f"Predictions over the frames of clip {clip}. Runs, from left to right: {shown}.",
        ),
        Picture(
            "Loss curves",
            "plots/losses.png",
            f"One panel per term, for the schemes that use it; each point averages {smoothing} recorded steps. "
            "Lines are means over seeds, bands their range.",
            wide=True,
        ),
        *[
            Picture(
                "Learning curves",
                "plots/learning.png",
                "mIoU and TC on the dev clips while the students trained. Thick lines are means over seeds, thin ones "
                "single seeds.",
                wide=True,
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
    table: pd.DataFrame,
    note: str,
    classes: pd.DataFrame | None,
    classes_note: str,
    pictures: list[Picture],
    files: list[str],
) -> str:
    """The page as HTML.

    Args:
        dataset: name of the data set.
        table: the scheme table as text, see :func:`etc.reporting.tables.display`.
        note: explains the columns of ``table``.
        classes: IoU per scheme and class as text, see :func:`etc.reporting.tables.display_classes`; None without
            labels.
        classes_note: explains the columns of ``classes``.
        pictures: in the order shown.
        files: paths of the table files, relative to the page.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        dataset=dataset,
        table=table,
        note=note,
        classes=classes,
        classes_note=classes_note,
        pictures=pictures,
        files=files,
        text_columns={"architecture", "scheme"},
    )
