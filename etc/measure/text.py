"""The figures of ``etc tc`` as text for a terminal or a log."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from etc.core.errors import many, visible
from etc.measure.summary import ENOUGH_CLIPS
from etc.sources.clip_names import first_names

Figures = Mapping[str, Any]

# More clips than this are listed only in the JSON file.
_CLIPS = 20
_REASONS = 10
_SCORES = (
    ("TC", "tc"),
    ("pixel agreement", "agreement"),
    ("flip rate", "flip_rate"),
    ("mIoU", "miou"),
    ("VC8", "vc8"),
    ("VC16", "vc16"),
    ("VC8, released script", "vc8_released"),
    ("VC16, released script", "vc16_released"),
)


def print_figures(figures: Figures, names: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Print the figures of ``etc tc``.

    Args:
        figures: the JSON object of ``etc tc``.
        names: class names, position = id.
        console: where to print; default: standard output, whose lines are not cut unless it is a terminal.
    """
    if console is None:
        console = Console(highlight=False, color_system=None)
        if not console.is_terminal:
            console = Console(highlight=False, color_system=None, width=200)
    console.print(_about(figures), markup=False, soft_wrap=True)
    console.print(_scores(figures))
    console.print(_classes(figures, names))
    if 1 < len(figures["clips"]) <= _CLIPS:
        console.print(_clips(figures))
    warnings = [f"warning: {line}" for line in figures.get("warnings", ())]
    for line in [*notes(figures), *comparison(figures, names), *warnings, *_skipped(figures["skipped"])]:
        console.print(visible(line), markup=False, soft_wrap=True)


def _about(figures: Figures) -> str:
    clips = figures["clips"].values()
    steps = sorted({clip["step"] for clip in clips if clip["step"]})
    classes = many(figures["classes"], "class", "classes")
    if figures["classes_inferred"]:
        classes += " (the largest id found, plus one; set it with --classes)"
    return (
        f"{visible(figures['predictions'])}: {many(len(clips), 'clip')}, {many(figures['pairs'], 'pair')}, "
        f"{len(figures['skipped'])} skipped; frame step {', '.join(map(str, steps)) or '-'}\n"
        f"protocol {figures['protocol']}, flow {visible(figures['flow'])}, {classes}, "
        f"ignored ids {', '.join(map(str, figures['ignore']))}"
    )


def score_texts(figures: Figures) -> Iterator[tuple[str, str, str, str]]:
    """Label, key, value and interval of each figure that there is; all in percent but for the warp error."""
    for label, key in _SCORES:
        if figures.get(key) is not None:
            yield label, key, percent(figures[key]), _interval(figures, key)
    if figures["warp_error"] is not None:
        ends = [figures["warp_error_low"], figures["warp_error_high"]]
        text = "" if None in ends else "{:.4f} to {:.4f}".format(*ends) + _narrow(figures)
        yield "warp error (0 to 2)", "warp_error", f"{figures['warp_error']:.4f}", text


def _scores(figures: Figures) -> Table:
    table = _table("figure", "%", "95 % interval")
    for label, _, value, ends in score_texts(figures):
        table.add_row(label, value, ends)
    return table


def _classes(figures: Figures, names: Sequence[str] | None) -> Table:
    table = _table("class", "TC %")
    for one, value in figures["per_class"].items():
        if value is not None:
            table.add_row(_name(f"{one} {names[int(one)]}" if names else one), percent(value))
    return table


def _clips(figures: Figures) -> Table:
    table = _table("clip", "pairs", "TC %", "agreement %", "flips %")
    for name, clip in figures["clips"].items():
        values = [percent(clip[key]) for key in ("tc", "agreement", "flip_rate")]
        table.add_row(_name(name), str(clip["pairs"]), *values)
    return table


def notes(figures: Figures) -> list[str]:
    """What is to be said about the figures, one line each."""
    lines = []
    if figures["tc_low"] is None:
        lines.append("no interval: it shows how far the figures vary between clips, and there is only one")
    if figures["unpredicted"]:
        lines.append(
            f"frames of {many(len(figures['unpredicted']), 'more clip')} have no prediction: "
            f"{first_names(figures['unpredicted'])}"
        )
    if "vc8" in figures:
        windows = ", ".join(f"VC{length}: {figures[f'vc{length}_windows']}" for length in (8, 16))
        lines.append(
            f"{many(figures['labelled_frames'], 'labelled frame')}; windows of consecutive labelled frames: {windows}"
        )
    return lines


def comparison(figures: Figures, names: Sequence[str] | None) -> list[str]:
    """The comparison with other predictions, and the one without rare classes; nothing where there is none."""
    if "against" not in figures:
        return []
    return [_comparison(figures["against"]), *_frequent(figures["against"]["frequent"], names)]


def _comparison(against: Figures) -> str:
    text = (
        f"against {against['predictions']}: TC {percent(against['tc'])} there, difference "
        f"{100 * against['difference']:+.2f} points on {many(against['pairs'], 'pair')} of "
        f"{many(against['clips'], 'clip')}"
    )
    if against["difference_low"] is not None:
        low, high = (100 * against[key] for key in ("difference_low", "difference_high"))
        text += f", 95 % interval {low:+.2f} to {high:+.2f}, p = {against['p_value']:.4f}"
        if against["clips"] < ENOUGH_CLIPS:
            text += (
                f"; {against['clips']} clips allow no statement about other clips: the interval is too narrow, and p "
                f"cannot fall below {2 / 2 ** against['clips']:.4f}"
            )
    else:
        text += "; no interval and no p-value: they need several clips"
    if against["left_out"]:
        pairs = many(against["left_out"], "pair that only one folder has is", "pairs that only one folder has are")
        text += f"; {pairs} left out"
    return text


def _frequent(frequent: Figures | None, names: Sequence[str] | None) -> list[str]:
    """The comparison without rare classes; nothing where there are none."""
    if not frequent or not frequent["rare"]:
        return []
    rare = ", ".join(names[one] if names else str(one) for one in frequent["rare"])
    share = f"{100 * frequent['share']:g} %"
    text = f"without the classes that are less than {share} of the predictions of a folder ({rare}): "
    if frequent["difference"] is None:
        return [f"{text}no class is left"]
    text += f"TC {percent(frequent['tc'])} there, difference {100 * frequent['difference']:+.2f} points"
    if frequent["difference_low"] is not None:
        low, high = (100 * frequent[key] for key in ("difference_low", "difference_high"))
        text += f", 95 % interval {low:+.2f} to {high:+.2f}"
    return [text]


def _skipped(skipped: Sequence[Figures]) -> list[str]:
    lines = [f"skipped: {place(one)}{one['reason']}" for one in skipped[:_REASONS]]
    if len(skipped) > _REASONS:
        lines.append(f"skipped: {len(skipped) - _REASONS} more; --json lists all")
    return lines


def place(one: Figures) -> str:
    """The pair that was skipped, before the reason."""
    return "" if one["source"] is None else f"{one['clip']} {one['source']} to {one['target']}: "


def _interval(figures: Figures, key: str) -> str:
    low, high = figures.get(f"{key}_low"), figures.get(f"{key}_high")
    return "" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}{_narrow(figures)}"


def _narrow(figures: Figures) -> str:
    """A remark beside an interval from too few clips."""
    clips = len(figures["clips"])
    return f" (too narrow: {many(clips, 'clip')})" if clips < ENOUGH_CLIPS else ""


def _name(name: str) -> Text:
    """A cell with a name of the user's: on one line, its brackets not taken for markup."""
    return Text(visible(name))


def percent(value: float | None) -> str:
    """A share in percent; ``-`` where there is none."""
    return "-" if value is None else f"{100 * value:.2f}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
