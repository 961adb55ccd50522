"""The figures of ``etc tc`` as one HTML page that needs nothing else: no network, no script, no file beside it."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from etc.core.errors import many, visible
from etc.dataset.label_sets import LabelSet
from etc.measure.examples import WIDEST, WORST, Example
from etc.measure.text import comparison, notes, percent, place, score_texts
from etc.templates import environment
from etc.version import version

# In the first bytes of every page, so that it is recognised.
MARK = '<meta name="generator" content="etc tc">'
_TEMPLATES = Path(__file__).parent / "templates"
_SKIPPED = 50  # pairs listed; the JSON file has all
_TICKS = 4  # about so many on an axis
_PROTOCOLS = {
    "corrected": "nearest warp; pixels that leave the frame, or are ignored in either map, are not counted",
    "occlusion_aware": "nearest warp; counted are pixels that stay in the frame, are not ignored, and are visible in "
    "the next frame",
    "etc_released": "what eval_tc.py of Liu et al. (ECCV 2020) computes: bilinear warp of ids, every pixel counted",
    "vspw_released": "what TC_cal.py of VSPW (Miao et al., CVPR 2021) computes: every pixel counted, 0 outside",
}
_PER_CLIP = (
    ("TC", "tc"),
    ("agreement", "agreement"),
    ("flips", "flip_rate"),
    ("mIoU", "miou"),
    ("VC8", "vc8"),
    ("VC16", "vc16"),
)


class Strip(NamedTuple):
    """A figure on an axis of its own; places are percent of the axis' length.

    Attributes:
        value: place of the figure.
        ends: places of the ends of its interval; empty where there is none.
        dots: place and name of each clip.
        ticks: place and text.
        zero: whether the axis marks 0.
    """

    value: float
    ends: tuple[float, ...]
    dots: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    zero: bool


def page(
    figures: Mapping[str, Any], examples: Sequence[Example], label_set: LabelSet, named: bool, command: str
) -> str:
    """The page as HTML; equal arguments give equal text.

    Args:
        figures: the JSON object of ``etc tc``.
        examples: the pairs that agree least, lowest first.
        label_set: names and colours of the classes, at least those of the figures.
        named: whether the classes have names besides their ids.
        command: what was typed.
    """
    templates = environment(_TEMPLATES)
    templates.filters |= {"visible": visible, "percent": percent, "many": many, "data": _data}
    names = label_set.names if named else None
    clips = sorted(figures["clips"].items(), key=lambda one: (one[1]["tc"] is None, one[1]["tc"], one[0]))
    classes = [(int(one), value) for one, value in figures["per_class"].items() if value is not None]
    return templates.get_template("tc.html").render(
        mark=MARK,
        place=place,
        figures=figures,
        scores=list(_scores(figures)),
        notes=notes(figures),
        against=figures.get("against"),
        comparison=comparison(figures, names),
        difference=_difference(figures),
        examples=examples,
        classes=sorted(classes, key=lambda one: one[1]),
        absent=figures["classes"] - len(classes),
        names=names,
        colours=[f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in label_set.palette],
        clips=clips,
        columns=[(label, key) for label, key in _PER_CLIP if any(key in clip for _, clip in clips)],
        steps=", ".join(map(str, sorted({clip["step"] for _, clip in clips if clip["step"]}))) or "-",
        worst=WORST,
        widest=WIDEST,
        listed=_SKIPPED,
        protocol=_PROTOCOLS[figures["protocol"]],
        command=command,
        version=version(),
    )


def strip(value: float, ends: Sequence[float], dots: Mapping[str, float], zero: bool = False) -> Strip:
    """A figure, its interval and its clips, in percent, on an axis that just holds them.

    Args:
        value: the figure.
        ends: of its interval; empty where there is none.
        dots: clip to its figure.
        zero: the axis holds 0 and marks it.
    """
    all_values = [value, *ends, *dots.values(), *([0.0] if zero else [])]
    low, high = min(all_values), max(all_values)
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def at(one: float) -> float:
        return round(100 * (one - low) / (high - low), 2)

    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one for one in (power, 2 * power, 5 * power, 10 * power) if one >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    marks = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    texts = [(mark, f"{mark:+.{digits}f}" if mark else "0") if zero else (mark, f"{mark:.{digits}f}") for mark in marks]
    return Strip(
        at(value),
        tuple(map(at, ends)),
        [(at(one), name) for name, one in dots.items()],
        # Differences may be negative, figures are 0 to 100.
        [(at(mark), text) for mark, text in texts if zero or 0 <= mark <= 100],
        zero,
    )


def _scores(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Strip | None]]:
    """Label, value, interval and strip of each figure."""
    for label, key, value, text in score_texts(figures):
        share = key != "warp_error"
        unit = 100 if share else 1
        dots = {name: unit * clip[key] for name, clip in figures["clips"].items() if clip.get(key) is not None}
        ends = [figures[f"{key}_{end}"] for end in ("low", "high") if figures.get(f"{key}_{end}") is not None]
        drawn = strip(unit * figures[key], tuple(unit * end for end in ends), dots) if len(dots) > 1 else None
        yield label, f"{value} %" if share else value, text, drawn


def _difference(figures: Mapping[str, Any]) -> Strip | None:
    against = figures.get("against")
    if not against or against["difference_low"] is None:
        return None
    value, *ends = (100 * against[f"difference{end}"] for end in ("", "_low", "_high"))
    return strip(value, ends, {}, zero=True)


def _data(file: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
