"""What is wrong with a data set and what it holds: one table from a listing and the inspection of its files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from etc.core.errors import many
from etc.dataset.label_sets import LabelSet
from etc.sources.source import Frame, Gap

# Kinds of findings, worst first: the title in the table, and whether it is an error (else a warning).
KINDS = {
    "missing": ("missing", True),
    "unreadable": ("unreadable", True),
    "empty": ("empty", True),
    "truncated": ("truncated", True),
    "damaged": ("damaged", True),
    "large": ("too large", True),
    "changed": ("not as in the manifest", True),
    "mode": ("wrong mode", True),
    "size": ("wrong size", True),
    "foreign": ("foreign label ids", True),
    "twice": ("frame listed twice", True),
    "duplicate_splits": ("same frame in two splits", True),
    "duplicate_clips": ("same frame in two clips", False),
    "duplicate_clip": ("same frame in one clip", False),
    "clip_size": ("differs in size from most", False),
    "gap": ("gap in a sequence", False),
}
# Problems of files whose pixels can still be read.
_LEGIBLE = ("", "mode", "foreign")
_FINDING = ["kind", "clip", "path", "detail"]

SCHEMA = pa.schema(
    [
        ("subject", pa.string()),
        ("clip", pa.string()),
        ("path", pa.string()),
        ("kind", pa.string()),
        ("value", pa.float64()),
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Report:
    """What a verification found.

    Attributes:
        totals: frames, images, labels, bytes, and deep: files of which the pixels were read.
        findings: one row each, columns kind (of ``KINDS``), clip, path and detail, by kind, clip and frame.
        clips: one row a clip: clip, split, frames, labelled, step (between frame numbers, 0 for a clip of one frame),
            gaps (before it or in it), lacking (frames missing in them), pairs (of readable frames one step apart),
            errors and warnings.
        classes: one row a class, the last one for ignored pixels: class, pixels, share (0..1 of all pixels of decoded
            labels), labels (that hold it). Empty when no label was decoded.
    """

    totals: dict[str, int]
    findings: pd.DataFrame
    clips: pd.DataFrame
    classes: pd.DataFrame


def verify(
    frames: Sequence[Frame],
    files: pd.DataFrame,
    label_set: LabelSet,
    manifest: pd.DataFrame | None = None,
    gaps: Sequence[Gap] = (),
) -> Report:
    """Check all frames.

    Args:
        frames: of the listing.
        files: as :func:`etc.sources.check.inspection.inspect` returns it for them.
        label_set: of the data set.
        manifest: which the files must match; None before there is one.
        gaps: that the source found, each before one of the frames.
    """
    images, labels = (files[files["kind"] == kind] for kind in ("image", "label"))
    listed = _joined(frames, images, labels)
    clips = _clips(listed, gaps)
    listed["step"] = listed["clip"].map(clips["step"])
    found = [_flawed(listed), _sizes(listed), _listed_twice(listed), _duplicates(listed)]
    found += [_gaps(listed, gaps), _gaps_inside(listed)]
    if manifest is not None:
        found.append(_changed(listed, manifest))
    findings = pd.concat([one[[*_FINDING, "order"]] for one in found], ignore_index=True)
    rank = findings["kind"].map({kind: place for place, kind in enumerate(KINDS)})
    findings = findings.assign(rank=rank).sort_values(["rank", "order", "path"])[_FINDING].reset_index(drop=True)
    is_error = findings["kind"].map(_is_error).astype(bool)
    for name, chosen in (("errors", is_error), ("warnings", ~is_error)):
        clips[name] = findings.loc[chosen, "clip"].value_counts().reindex(clips.index, fill_value=0)
    totals = {
        "frames": len(listed),
        "images": len(images),
        "labels": len(labels),
        "bytes": int(files["bytes"].clip(lower=0).sum()),
        "deep": int(files["deep"].sum()),
    }
    return Report(totals, findings, clips.reset_index(), _classes(labels, label_set))


def problems(report: Report) -> int:
    """Number of errors: the findings of kinds that are no warning in ``KINDS``."""
    return sum(map(_is_error, report.findings["kind"]))


def table(report: Report) -> pa.Table:
    """Everything in long form, columns ``SCHEMA``.

    By subject: ``total`` (kind: a name of ``Report.totals``, or of ``KINDS`` with the number of findings), ``file``
    (a finding: kind, clip, path, detail; value 1), ``clip`` (kind: a column of ``Report.clips``; detail: the split)
    and ``class`` (kind: pixels, share or labels; detail: the class).
    """
    counts = report.findings["kind"].value_counts()
    totals = pd.DataFrame(
        [
            (kind, float(value))
            for kind, value in [*report.totals.items(), *((kind, counts.get(kind, 0)) for kind in KINDS)]
        ],
        columns=["kind", "value"],
    ).assign(subject="total")
    clips = report.clips.melt(["clip", "split"], var_name="kind").rename(columns={"split": "detail"})
    classes = report.classes.melt(["class"], var_name="kind").rename(columns={"class": "detail"})
    rows = pd.concat(
        [
            totals,
            report.findings.assign(subject="file", value=1.0),
            clips.assign(subject="clip"),
            classes.assign(subject="class"),
        ],
        ignore_index=True,
    )
    rows = rows.reindex(columns=SCHEMA.names).fillna({name: "" for name in SCHEMA.names if name != "value"})
    return pa.Table.from_pandas(rows.astype({"value": float}), SCHEMA, preserve_index=False).replace_schema_metadata()


def _joined(frames: Sequence[Frame], images: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """One row a frame, sorted by clip and number, with the inspection of its files in image_… and label_…."""
    listed = pd.DataFrame(list(frames), columns=list(Frame._fields))
    columns = ["checksum", "width", "height", "problem", "detail"]
    for name, one in (("image", images), ("label", labels)):
        places = pd.Index(one["path"]).get_indexer(listed[name])
        for column in columns:
            # A value more, found by -1, for frames without a label.
            nothing = 0 if column in ("width", "height") else ""
            listed[f"{name}_{column}"] = np.append(one[column].to_numpy(), nothing)[places]
    return listed.sort_values(["clip", "frame"], kind="stable", ignore_index=True)


def _clips(listed: pd.DataFrame, gaps: Sequence[Gap]) -> pd.DataFrame:
    """One row a clip, by name; and the distance of every frame from the one before in ``listed``."""
    listed["distance"] = listed.groupby("clip")["frame"].diff().fillna(0).astype(int)
    distances = listed.loc[listed["distance"] > 0, ["clip", "distance"]].value_counts(sort=False).reset_index(name="n")
    steps = distances.sort_values(["clip", "n", "distance"], ascending=[True, False, True]).groupby("clip")["distance"]
    grouped = listed.groupby("clip")
    clips = pd.DataFrame({"split": grouped["split"].first(), "frames": grouped.size()})
    clips["labelled"] = listed["label"].ne("").groupby(listed["clip"]).sum()
    clips["step"] = steps.first().reindex(clips.index, fill_value=0)
    step = listed["clip"].map(clips["step"])
    gap = listed["distance"].gt(0) & listed["distance"].ne(step)
    legible = listed["image_problem"].isin(_LEGIBLE)
    pair = listed["distance"].gt(0) & ~gap & legible & legible.shift(fill_value=False)
    before = pd.DataFrame(gaps, columns=Gap._fields).groupby("clip")["missing"].agg(["size", "sum"])
    before = before.reindex(clips.index, fill_value=0)
    clips["gaps"] = gap.groupby(listed["clip"]).sum() + before["size"]
    lacking = (listed["distance"] // step.where(step > 0, 1) - 1).clip(lower=0)
    clips["lacking"] = lacking.groupby(listed["clip"]).sum() + before["sum"]
    clips["pairs"] = pair.groupby(listed["clip"]).sum()
    return clips


def _flawed(listed: pd.DataFrame) -> pd.DataFrame:
    """The problems that the inspection found, one row a file."""
    parts = []
    for name in ("image", "label"):
        rows = listed[listed[f"{name}_problem"].ne("")].drop_duplicates(name)
        parts.append(_findings(rows, rows[f"{name}_problem"], rows[name], rows[f"{name}_detail"]))
    return pd.concat(parts)


def _sizes(listed: pd.DataFrame) -> pd.DataFrame:
    """Images that differ in size from most of their clip, labels from their image, clips from most images (at the
    first image of that size): own data may mix sizes on purpose.
    """
    known = _with_usual_sizes(listed[listed["image_width"].gt(0)])
    odd = known[_differ(known, "image_{}", "clip_{}")]
    images = _findings(odd, "size", odd["image"], _compared(odd, "image_{}", "most of its clip", "clip_{}"))
    both = known[known["label_width"].gt(0)]
    odd = both[_differ(both, "label_{}", "image_{}")]
    labels = _findings(odd, "size", odd["label"], _compared(odd, "label_{}", "its image", "image_{}"))
    odd = known[_differ(known, "clip_{}", "most_{}") & ~_differ(known, "image_{}", "clip_{}")].drop_duplicates("clip")
    clips = _findings(odd, "clip_size", odd["image"], _compared(odd, "clip_{}", "most images", "most_{}"))
    return pd.concat([images, labels, clips])


def _with_usual_sizes(known: pd.DataFrame) -> pd.DataFrame:
    """With the most common size of the images of each clip as clip_…, and of all images as most_…."""
    sizes = ["image_width", "image_height"]
    counts = known.groupby(["clip", *sizes]).size().reset_index(name="n")
    # Of equally common sizes the larger one: frames are more often shrunk by mistake than enlarged.
    order = ["n", *sizes]
    usual = counts.sort_values(order).drop_duplicates("clip", keep="last").set_index("clip")
    most = counts.groupby(sizes)["n"].sum().reset_index().sort_values(order).tail(1)
    return known.assign(
        **{f"clip_{name[6:]}": known["clip"].map(usual[name]) for name in sizes},
        **{f"most_{name[6:]}": most[name].sum() for name in sizes},
    )


def _differ(rows: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Whether two sizes do, with {} for width and height in the names of their columns."""
    first, second = (rows[[pattern.format("width"), pattern.format("height")]] for pattern in (one, other))
    return pd.Series((first.to_numpy() != second.to_numpy()).any(axis=1), rows.index)


def _compared(rows: pd.DataFrame, one: str, what: str, other: str) -> list[str]:
    columns = [pattern.format(name) for pattern in (one, other) for name in ("width", "height")]
    return [f"{a}x{b} pixels, {what} {c}x{d}" for a, b, c, d in rows[columns].itertuples(index=False)]


def _listed_twice(listed: pd.DataFrame) -> pd.DataFrame:
    rows = listed[listed.duplicated(["clip", "frame"])]
    return _findings(rows, "twice", rows["image"], [f"frame {number}" for number in rows["frame"]])


def _duplicates(listed: pd.DataFrame) -> pd.DataFrame:
    """Images whose content an earlier frame has: one finding for each but the first."""
    rows = listed[listed["image_checksum"].ne("") & ~listed.duplicated(["clip", "frame"])]
    rows = rows[rows.duplicated("image_checksum", keep=False)]
    first = rows.groupby("image_checksum")[["clip", "split", "image"]].transform("first")
    kinds = np.where(rows["clip"].ne(first["clip"]), "duplicate_clips", "duplicate_clip")
    kinds = np.where(rows["split"].ne(first["split"]), "duplicate_splits", kinds)
    rows = rows.assign(kind=kinds, first=first["image"], other=first["split"])[rows.duplicated("image_checksum")]
    details = [f"in {one.split}; the same content as {one.first} in {one.other}" for one in rows.itertuples()]
    return _findings(rows, rows["kind"], rows["image"], details)


def _gaps(listed: pd.DataFrame, gaps: Sequence[Gap]) -> pd.DataFrame:
    """Gaps at which the source cut, each at the image after it."""
    near = listed[listed["clip"].isin({gap.clip for gap in gaps})]
    places = dict(zip(zip(near["clip"], near["frame"], strict=True), near.index, strict=True))
    rows = listed.loc[[places[gap.clip, gap.frame] for gap in gaps]]
    details = [
        f"frame {one.frame} follows {one.after}, {many(one.missing, 'frame is', 'frames are')} missing" for one in gaps
    ]
    return _findings(rows, "gap", rows["image"], details)


def _gaps_inside(listed: pd.DataFrame) -> pd.DataFrame:
    """Gaps within clips. Our sources leave none, but a user's own source may not cut its clips."""
    rows = listed[listed["distance"].gt(0) & listed["distance"].ne(listed["step"])]
    details = [
        f"frame {one.frame} follows {one.frame - one.distance}, the step is {one.step}" for one in rows.itertuples()
    ]
    return _findings(rows, "gap", rows["image"], details)


def _changed(listed: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Files whose content differs from the manifest, and frames of it that the source no longer has."""
    parts = []
    for name, column in (("image", "checksum"), ("label", "label_checksum")):
        expected = listed[name].map(manifest.drop_duplicates(name).set_index(name)[column])
        have = listed[f"{name}_checksum"]
        rows = listed[expected.notna() & have.ne("") & listed[name].ne("") & have.ne(expected)].drop_duplicates(name)
        parts.append(_findings(rows, "changed", rows[name], "its content has changed"))
        gone = manifest[~manifest[name].isin(listed[name]) & manifest[name].ne("")].drop_duplicates(name)
        parts.append(_findings(gone, "missing", gone[name], "the manifest has it, the source does not"))
    return pd.concat(parts)


def _findings(rows: pd.DataFrame, kind: object, path: object, detail: object) -> pd.DataFrame:
    """One finding for each of some rows of the frames; ``order`` is that of the frames."""
    values = {"kind": kind, "clip": rows["clip"].to_numpy(), "path": np.asarray(path), "detail": detail}
    frame = pd.DataFrame({name: np.broadcast_to(np.asarray(one, object), len(rows)) for name, one in values.items()})
    return frame.assign(order=rows.index.to_numpy())


def _classes(labels: pd.DataFrame, label_set: LabelSet) -> pd.DataFrame:
    counts = [one for one in labels["counts"] if one is not None]
    if not counts:
        return pd.DataFrame({"class": pd.Series(dtype=str), "pixels": [], "share": [], "labels": []})
    stacked = np.stack(counts)
    pixels = stacked.sum(axis=0)
    names = [*label_set.names, "ignored"]
    return pd.DataFrame(
        {"class": names, "pixels": pixels, "share": pixels / pixels.sum(), "labels": (stacked > 0).sum(axis=0)}
    )


def _is_error(kind: str) -> bool:
    return KINDS[kind][1]
