"""From the listing of a source to the rows of a manifest, and back."""

import pandas as pd

from etc.core.errors import UserError, many
from etc.dataset import manifest
from etc.sources.source import Frame, Listing


def manifest_rows(listing: Listing, files: pd.DataFrame, name: str, remedy: str) -> pd.DataFrame:
    """Rows of a manifest.

    Args:
        listing: of the source.
        files: one row a file as :func:`etc.sources.check.inspection.inspect` gives it.
        name: what to call the data set in messages.
        remedy: what to do about wrong files.

    Returns:
        The columns of ``manifest.SCHEMA``, sorted by clip and frame.

    Raises:
        UserError: there is no frame, or a file is missing, wrong or a label of another size than its frame; the message
            names the first.
    """
    if not listing.frames:
        raise UserError(f"{name}: no frame found; check its folder and its block in params/frames.yaml")
    wrong = files[files["problem"] != ""]
    if len(wrong):
        first = wrong.iloc[0]
        detail = f" ({first['detail']})" if first["detail"] else ""
        share = f"{len(wrong)} of {many(len(files), 'file is', 'files are')} wrong"
        raise UserError(f"{first['path']}: {first['problem']}{detail}; {share}: {remedy}")
    frames = pd.DataFrame(listing.frames, columns=Frame._fields)
    images = files[files["kind"] == "image"].drop_duplicates("path").set_index("path")
    labels = files[files["kind"] == "label"].drop_duplicates("path").set_index("path")["checksum"]
    for column in ("width", "height", "bytes", "checksum"):
        frames[column] = images[column].reindex(frames["image"]).to_numpy()
    _check_sizes(frames, files)
    frames["label_checksum"] = labels.reindex(frames["label"]).fillna("").to_numpy()
    return frames[manifest.SCHEMA.names].sort_values(["clip", "frame"], ignore_index=True)


def _check_sizes(frames: pd.DataFrame, files: pd.DataFrame) -> None:
    """Every label has the size of its frame; otherwise a stage would find out after hours."""
    labelled = frames[frames["label"] != ""]
    sizes = files[files["kind"] == "label"].drop_duplicates("path").set_index("path")[["width", "height"]]
    found, wanted = sizes.reindex(labelled["label"]).to_numpy(), labelled[["width", "height"]].to_numpy()
    differs = (found != wanted).any(axis=1)
    if differs.any():
        (width, height), one = found[differs][0], labelled[differs].iloc[0]
        raise UserError(
            f"{one['label']}: {width}x{height} pixels, but its frame {one['image']} has {one['width']}x{one['height']} "
            f"({differs.sum()} of {len(labelled)} labels differ); give labels of the size of their frames"
        )


def listed_frames(frames: pd.DataFrame) -> list[Frame]:
    """The frames of a manifest as a source would list them."""
    return [Frame(*values) for values in frames[list(Frame._fields)].itertuples(index=False, name=None)]
