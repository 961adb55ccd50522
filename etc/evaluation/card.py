"""The model card: what a trained network is, what it was trained on and how good it is, in the form of the hubs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from etc.core.errors import many
from etc.evaluation.iou import IouCounts, class_ratio, iou_counts, mean_ratio, stacked, total
from etc.resampling import interval

Clips = Sequence[IouCounts]


def model_card(
    name: str,
    config: Mapping[str, Any],
    facts: Mapping[str, str],
    accuracy: Sequence[Mapping[str, Any]],
    consistency: Sequence[Mapping[str, Any]],
    judged: str,
) -> str:
    """The text of the card, Markdown with the front matter that Hugging Face reads.

    Args:
        name: of the network, e.g. ``pspnet18-etc-0``.
        config: its ``config.json``.
        facts: further rows of the first table.
        accuracy: a record per labelled frame: ``clip``, ``tp``, ``fp``, ``fn``, int64 (C,).
        consistency: a record per pair of frames: ``clip``, ``same``, ``counted``, ``intersection``, ``union``.
        judged: what these are counts of, e.g. ``split test of street``.
    """
    names = config["class_names"]
    terms = ", ".join(f"{term} x {weight:g}" for term, weight in config.get("terms", {}).items())
    rows = {
        "network": f"{config['architecture']}, width {config['width']}" if config["width"] else config["architecture"],
        "trained on": f"{config.get('dataset', '?')}, {many(config.get('iterations', 0), 'iteration')}, seed "
        f"{config.get('seed', '?')}",
        "losses": "cross-entropy" + (f", {terms}" if terms else ""),
        "classes": ", ".join(names),
        **facts,
    }
    truth = _by_clip(accuracy, lambda one: iou_counts(one["tp"], one["fp"], one["fn"]))
    pairs = _by_clip(consistency, lambda one: IouCounts(one["intersection"], one["union"], one["same"], one["counted"]))
    scores = [
        ("mIoU", truth, "intersection", "union"),
        ("pixel accuracy", truth, "same", "counted"),
        ("TC", pairs, "intersection", "union"),
        ("pixel agreement", pairs, "same", "counted"),
    ]
    lines = [
        "---",
        "library_name: etc-segmentation",
        "pipeline_tag: image-segmentation",
        "tags: [semantic-segmentation, video, temporal-consistency]",
        "---",
        f"# {name}",
        "",
        "Segments each frame of a video on its own; a frame costs what a picture costs.",
        "",
        *_table(("", ""), rows.items()),
        "",
        f"## Measured on {judged}",
        "",
        *_table(("", "%", "95 % interval over clips"), (row for one in scores if (row := _score(*one)))),
        "",
        *_table(("class", "IoU %", "TC %"), _classes(names, truth, pairs)),
        "",
        "An interval covers other clips, not other seeds. docs/metrics.md of the project defines the figures.",
        "",
        "## Use",
        "",
        "```",
        "etc predict FOLDER video.mp4 --to seen.mp4",
        "etc export FOLDER --to network.onnx",
        "```",
        "",
        "FOLDER is that of this file. Input: RGB in 0..1; output: scores of the classes in the order above.",
        "",
    ]
    return "\n".join(lines)


def _by_clip(records: Sequence[Mapping[str, Any]], counts: Any) -> Clips:
    clips: dict[str, list[IouCounts]] = {}
    for one in records:
        clips.setdefault(one["clip"], []).append(counts(one))
    return [total(stacked(ones)) for ones in clips.values()]


def _score(label: str, clips: Clips, part: str, whole: str) -> tuple[str, str, str] | None:
    """A row of the table; None where nothing was counted."""
    if not clips:
        return None
    # Figures over all classes at once have no axis of classes.
    counts = [np.reshape([getattr(one, name) for one in clips], (len(clips), -1)) for name in (part, whole)]
    value = mean_ratio(*(one.sum(axis=0) for one in counts))
    if np.isnan(value):
        return None
    ends = "none: one clip"
    if len(clips) > 1:
        _, low, high = interval(*counts)
        ends = f"{100 * low:.2f} to {100 * high:.2f}, {len(clips)} clips"
    return label, f"{100 * value:.2f}", ends


def _classes(names: Sequence[str], truth: Clips, pairs: Clips) -> list[tuple[str, ...]]:
    columns = []
    for clips in (truth, pairs):
        ratio = np.full(len(names), np.nan)
        if clips:
            counts = total(stacked(clips))
            ratio = class_ratio(counts.intersection, counts.union)
        columns.append(["-" if np.isnan(one) else f"{100 * one:.2f}" for one in ratio])
    return list(zip(names, *columns, strict=True))


def _table(head: Sequence[str], rows: Any) -> list[str]:
    right = ["---"] + ["---:" if one.endswith("%") else "---" for one in head[1:]]
    return [f"| {' | '.join(row)} |" for row in (head, right, *rows)]
