"""Predictions as the official evaluation of Cityscapes reads them (csEvalPixelLevelSemanticLabeling, the test server).

The tool looks for one ``{city}_{sequence}_{frame}*.png`` of label ids for each label of gtFine/val::

    CITYSCAPES_DATASET=ROOT CITYSCAPES_RESULTS=FOLDER csEvalPixelLevelSemanticLabeling

Version 2.3.0 of cityscapesscripts calls ``np.in1d`` for its instance-level scores, which NumPy 2.4 removed. Where the
command fails, run ``python -c`` with ``OFFICIAL`` instead: the tool's own option leaves those scores out, and every IoU
stays the same.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.dataset.label_sets import CITYSCAPES, IGNORE, LabelSet
from etc.dataset.manifest import Row

OFFICIAL = (
    "from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as tool; "
    "tool.args.evalInstLevelScore = False; tool.main()"
)

SUFFIX = "_pred_labelIds.png"

_IDS = {name: ids[0] for name, ids in zip(CITYSCAPES.names, CITYSCAPES.sources, strict=True)}


def write_label_ids(folder: Path, frames: Iterable[tuple[Row, np.ndarray]], label_set: LabelSet) -> int:
    """Write predictions as label ids, ``{city}_{sequence}_{frame}_pred_labelIds.png`` directly in ``folder``.

    Args:
        folder: created if missing; in an earlier export, files of the same frames are replaced.
        frames: row of the manifest and its prediction, uint8 (H, W) train ids of the frame's size.
        label_set: of the data set; its class names must be among those of Cityscapes.

    Returns:
        The number of files written.

    Raises:
        UserError: a class is not a Cityscapes class, a prediction has the wrong size or an unknown id, or the folder
            holds other PNGs, which the tool would read as predictions.
    """
    table = _table(label_set)
    folder = Path(folder)
    others = [path for path in folder.rglob("*.png") if not path.name.endswith(SUFFIX) or path.parent != folder]
    if others:
        raise UserError(
            f"{others[0]}: not from an earlier export; the tool would read it as a prediction: choose an empty folder"
        )
    count = 0
    for row, prediction in frames:
        name = file_name(row)
        _check(name.removesuffix(SUFFIX), row, prediction, label_set)
        # A folder can hold many frames; one lost in a power cut is simply written again.
        with atomic(folder / name, durable=False) as stream:
            stream.write(cv2.imencode(".png", table[prediction])[1].tobytes())
        count += 1
    return count


def file_name(row: Row) -> str:
    """The name of the file of a prediction."""
    return PurePosixPath(row["image"]).name.removesuffix("_leftImg8bit.png") + SUFFIX


def _table(label_set: LabelSet) -> np.ndarray:
    strange = [name for name in label_set.names if name not in _IDS]
    if strange:
        raise UserError(f"label set {label_set.name!r}: class {strange[0]!r} is not a Cityscapes class: it has no id")
    table = np.zeros(256, np.uint8)
    table[: label_set.count] = [_IDS[name] for name in label_set.names]
    return table


def _check(name: str, row: Row, prediction: np.ndarray, label_set: LabelSet) -> None:
    size = (row["height"], row["width"])
    if prediction.dtype != np.uint8 or prediction.shape != size:
        raise UserError(
            f"{name}: the prediction is {prediction.dtype} {prediction.shape}, expected uint8 {size}; "
            "scale it to the size of the frame"
        )
    highest = int(prediction.max())
    if highest >= label_set.count:
        what = "255 (ignore)" if highest == IGNORE else str(highest)
        raise UserError(f"{name}: the prediction holds id {what}; give each pixel a class, 0 to {label_set.count - 1}")
