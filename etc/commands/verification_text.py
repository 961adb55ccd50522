"""A verification as one table for a terminal or a log."""

from rich import box
from rich.table import Table

from etc.core.errors import many, visible
from etc.reporting.tables import plain_text
from etc.sources.check.verification import KINDS, Report

Cells = tuple[str, str, str, str]


def text(report: Report, few: int = 3, worst: int = 10) -> str:
    """One table for a terminal or a log, without colours and without a newline at the end.

    Args:
        report: what to show.
        few: file names shown for each kind of finding.
        worst: clips that are listed one by one.
    """
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("what", "left"), ("number", "right"), ("share", "right"), ("which", "left")):
        shown.add_column(name, justify=justify, no_wrap=True)
    sections = [_total_rows(report), _finding_rows(report, few), _clip_rows(report, worst), _class_rows(report)]
    for section in sections:
        for row in section:
            # File names may hold what a terminal obeys.
            shown.add_row(*(visible(cell, keep="\n") for cell in row))
        shown.add_section()
    return plain_text(shown, width=1000)


def _total_rows(report: Report) -> list[Cells]:
    totals, clips = report.totals, report.clips
    splits = ", ".join(
        f"{count:,} {name}" for name, count in clips.groupby("split", sort=False)["frames"].sum().items()
    )
    files = totals["images"] + totals["labels"]
    return [
        ("frames", f"{totals['frames']:,}", "", f"in {many(len(clips), 'clip', form=',')}; {splits}"),
        ("image files", f"{totals['images']:,}", "", ""),
        ("label files", f"{totals['labels']:,}", "", ""),
        ("megabytes", f"{totals['bytes'] / 1e6:,.0f}", "", ""),
        ("pixels read", f"{totals['deep']:,}", _share(totals["deep"], files), "of all files"),
    ]


def _finding_rows(report: Report, few: int) -> list[Cells]:
    rows = []
    for kind, (title, is_error) in KINDS.items():
        found = report.findings[report.findings["kind"].eq(kind)]
        paths = [visible(path) for path in found["path"][:few]]
        details = found["detail"][:few]
        lines = [f"{path}: {detail}" if detail else path for path, detail in zip(paths, details, strict=True)]
        lines += [f"and {len(found) - few:,} more"] * (len(found) > few)
        number = f"{len(found):,}"
        if kind == "foreign" and not report.totals["deep"]:
            number, lines = "?", ["the pixels were not read"]
        rows.append((title if is_error else f"{title} (warning)", number, "", "\n".join(lines)))
    return rows


def _clip_rows(report: Report, worst: int) -> list[Cells]:
    clips = report.clips
    possible = (clips["frames"] - 1).sum()
    steps = ", ".join(
        f"{step} in {many(count, 'clip', form=',')}"
        for step, count in clips.loc[clips["step"] > 0, "step"].value_counts()[:4].items()
    )
    pairs = ", ".join(
        f"{count} in {many(n, 'clip', form=',')}" for count, n in clips["pairs"].value_counts()[:4].items()
    )
    rows = [
        ("labelled frames", f"{clips['labelled'].sum():,}", _share(clips["labelled"].sum(), clips["frames"].sum()), ""),
        ("steps of clips", f"{clips.loc[clips['step'] > 0, 'step'].nunique():,}", "", steps),
        ("pairs", f"{clips['pairs'].sum():,}", _share(clips["pairs"].sum(), possible), pairs),
    ]
    clips = clips.assign(lost=clips["frames"] - 1 - clips["pairs"])
    bad = clips[clips[["lost", "errors", "warnings"]].gt(0).any(axis=1)]
    bad = bad.sort_values(["errors", "warnings", "lost", "clip"], ascending=[False, False, False, True])
    rows += [
        (
            f"clip {one.clip}",
            f"{one.pairs:,}",
            _share(one.pairs, one.frames - 1),
            f"pairs; {many(one.frames, 'frame')}, {one.labelled} labelled, step {one.step}, {many(one.gaps, 'gap')}, "
            f"{many(one.lacking, 'frame')} missing, {many(one.errors, 'error')}, {many(one.warnings, 'warning')}",
        )
        for one in bad[:worst].itertuples()
    ]
    if len(bad) > worst:
        rows.append(
            (f"and {many(len(bad) - worst, 'more clip', form=',')}", f"{bad['pairs'][worst:].sum():,}", "", "pairs")
        )
    return rows


def _class_rows(report: Report) -> list[Cells]:
    if report.classes.empty:
        return [("classes", "?", "", "no label was decoded")]
    titles = [*(f"class {name}" for name in report.classes["class"][:-1]), "ignored pixels"]
    return [
        (title, f"{one.pixels:,}", f"{100 * one.share:.2f} %", f"pixels, in {many(one.labels, 'label', form=',')}")
        for title, one in zip(titles, report.classes.itertuples(), strict=True)
    ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else ""
