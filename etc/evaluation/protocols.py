"""The ways to compare a prediction with the next one warped back. Numbers of different protocols are not comparable.

- ``corrected``: nearest warp; pixels that leave the frame and pixels that are 255 in either map are not counted.
- ``occlusion_aware``: the same, and only pixels that are visible in the next frame are counted.
- ``etc_released``: what ``eval_tc.py`` of Liu et al. (ECCV 2020) computes, see ``_warp_etc`` and ``_count_etc``.
- ``vspw_released``: what ``TC_cal.py`` of VSPW (Miao et al., CVPR 2021) computes, see ``_warp_vspw``, ``_count_vspw``.

The two released protocols reproduce those scripts, faults included, for comparison with published numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from etc.core.errors import UserError
from etc.dataset.label_sets import IGNORE
from etc.evaluation.iou import IouCounts, check_ids, class_ratio, iou_counts, mean_ratio, tp_fp_fn
from etc.flow.warp import check_flow, check_flow_shape, floor_positions_in_steps, warp_labels

# Rows warped at a time, see ``_targets``.
_BLOCK = 16


@dataclass(frozen=True)
class TemporalProtocol:
    """One way to compute TC.

    Attributes:
        name: name in tables and on the command line.
        needs_visibility: whether the visibility mask is used.
        warp: (label of t+1, flow t to t+1, visible or None) to the label seen from t, uint8 (H, W).
        count: (joint histogram of the prediction at t and the warped one, C) to ``IouCounts``.
        ratio: (intersection (..., C), union (..., C)[, source_pixels (..., C)]), pooled, to the IoU of each class
            (..., C).
        mean: the same to TC (...,).
    """

    name: str
    needs_visibility: bool
    warp: Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
    count: Callable[[np.ndarray, int], IouCounts]
    ratio: Callable[..., np.ndarray]
    mean: Callable[..., np.ndarray]


def protocol_named(name: str) -> TemporalProtocol:
    """The protocol of this name.

    Raises:
        UserError: the name is unknown.
    """
    if name not in PROTOCOLS:
        raise UserError(f"unknown TC protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def seen_from(label: np.ndarray, flow: np.ndarray, visible: np.ndarray | None = None) -> np.ndarray:
    """The map of frame s as frame t sees it: nearest warp, 255 where the flow leaves the frame or nothing is visible.

    Args:
        label: uint8 (H, W) of frame s.
        flow: F_{t->s}, float32 (H, W, 2), pixels.
        visible: bool (H, W) on the grid of frame t; None = all.

    Raises:
        UserError: sizes differ, or the flow has NaN or infinite values.
    """
    warped = warp_labels(label, flow, outside=IGNORE)
    if visible is not None:
        # 0 where visible, 255 where not: no branch, no index.
        warped |= visible.view(np.uint8) - np.uint8(1)
    return warped


def _warp_nearest(label: np.ndarray, flow: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    return seen_from(label, flow)


def _warp_visible(label: np.ndarray, flow: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    if visible is None:
        raise UserError("the occlusion_aware protocol needs visibility: make the flow with it, or use corrected")
    if visible.shape != label.shape:
        raise UserError(f"the visibility's size {visible.shape} differs from the frame's size {label.shape}")
    return seen_from(label, flow, visible)


def _count(joint: np.ndarray, classes: int) -> IouCounts:
    check_ids(joint.sum(axis=1), classes, "the prediction")
    check_ids(joint.sum(axis=0), classes, "the next prediction")
    return iou_counts(*tp_fp_fn(joint[:classes, :classes]))


def _warp_etc(label: np.ndarray, flow: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    """Bilinear warp of the class ids themselves, clamped at the border, cut to uint8.

    The arithmetic is that of FlowNet2's ``resample2d`` kernel, see ``_resample2d``. It is kept because truncation makes
    the last bit matter: between equal ids c the sum can fall just below c and becomes c - 1.
    """
    check_flow_shape(flow, label.shape)
    corners = _corners(label)
    positions = floor_positions_in_steps(flow)
    if positions is not None:
        return _warp_etc_in_steps(label, flow, corners, positions)
    check_flow(flow, label.shape)
    warped = np.empty_like(label)
    for rows, x, y in _targets(flow):
        warped[rows] = _resample2d(corners, x, y)
    return warped


def _corners(label: np.ndarray) -> np.ndarray:
    """The four ids around every gap between pixels in one number, uint32 (H + 1, W + 1).

    Gap 0 lies before the first pixel, gap W after the last; ids beyond the border are those at the border.
    """
    framed = cv2.copyMakeBorder(label, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    around = cv2.merge([framed[:-1, :-1], framed[:-1, 1:], framed[1:, :-1], framed[1:, 1:]])
    return around.view(np.uint32)[..., 0]


def _resample2d(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel at the positions x, y, float32 (...), cut to uint8 (...).

    Three terms are computed in double and rounded to float, the fourth in float with a fused add (nvcc's default), and
    the sum runs in float. This follows the kernel's source; it has not been compared with a run on a GPU.
    """
    rows, columns = corners.shape
    left, top = np.floor(x), np.floor(y)
    gap = (np.clip(top, -1, rows - 2) + 1).astype(np.intp)
    gap *= columns
    gap += (np.clip(left, -1, columns - 2) + 1).astype(np.intp)
    corner = corners.ravel()[gap][..., None].view(np.uint8)
    across, down = x - left, y - top
    fused = (across * down).astype(np.float64)
    across, down = across.astype(np.float64), down.astype(np.float64)
    remain_x, remain_y = 1.0 - across, 1.0 - down
    value = (remain_x * remain_y * corner[..., 0]).astype(np.float32)
    value += (across * remain_y * corner[..., 1]).astype(np.float32)
    value += (remain_x * down * corner[..., 2]).astype(np.float32)
    # The product is exact in double. The sum is rounded to double, then to float; a fused add rounds once, which
    # differs only where the double lies exactly half-way between two floats.
    fused *= corner[..., 3]
    fused += value
    return fused.astype(np.float32).astype(np.uint8)


def _warp_etc_in_steps(label: np.ndarray, flow: np.ndarray, corners: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The same for a flow whose vectors are multiples of 1/256 px, as stored flow's are.

    Then every weight is a multiple of 2^-16, and float32 holds every sum of weighted ids: nothing is rounded. So four
    equal corners give their id, and only gaps between different ids are computed.
    """
    framed = cv2.copyMakeBorder(label, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
    mixed = cv2.compare(label, framed[:-1, 1:], cv2.CMP_NE)
    mixed |= cv2.compare(label, framed[1:, :-1], cv2.CMP_NE)
    mixed |= cv2.compare(label, framed[1:, 1:], cv2.CMP_NE)
    mixed &= 1
    # Both maps are looked up at once, as the two bytes of one number.
    pairs = cv2.merge([label, mixed]).view(np.uint16)
    found = cv2.remap(pairs, positions, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    warped, mixed = cv2.split(found.view(np.uint8).reshape(*label.shape, 2))
    pixels = np.flatnonzero(mixed.view(bool))
    rows, columns = np.divmod(pixels.astype(np.int32), np.int32(label.shape[1]))
    vectors = flow.reshape(-1, 2).take(pixels, axis=0)
    x, y = columns.astype(np.float32) + vectors[:, 0], rows.astype(np.float32) + vectors[:, 1]
    warped.ravel()[pixels] = _resample2d(corners, x, y)
    return warped


def _targets(flow: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Rows, and the positions x and y that their pixels move to, float32. Few rows at a time stay in the cache."""
    height, width = flow.shape[:2]
    columns, lines = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    for start in range(0, height, _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield rows, columns + flow[rows, :, 0], lines[rows] + flow[rows, :, 1]


def _look_up(values: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """``values[row, column]`` for whole numbers that int16 can hold; 0 outside."""
    positions = np.empty((*column.shape, 2), np.int16)
    positions[..., 0], positions[..., 1] = column, row
    return cv2.remap(values, positions, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _count_etc(joint: np.ndarray, classes: int) -> IouCounts:
    """``intersectionAndUnion`` of the script, which pools with ``np.histogram``.

    Every pixel is counted. 255 is ignored on one side only: where the warped map is 255. The last bin of
    ``np.histogram`` is closed, so id C is counted as class C - 1.
    """
    joint = joint.copy()
    joint[IGNORE, IGNORE] = joint[:, IGNORE].sum()
    joint[:IGNORE, IGNORE] = 0
    intersection, first, second = (
        _closed_bins(pixels, classes) for pixels in (np.diag(joint), joint.sum(axis=1), joint.sum(axis=0))
    )
    return IouCounts(intersection, first + second - intersection, intersection.sum(), second.sum())


def _closed_bins(pixels: np.ndarray, classes: int) -> np.ndarray:
    bins = pixels[:classes].astype(np.int64)
    bins[-1] += pixels[classes]
    return bins


def _mean_etc(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Mean over all classes; one that does not occur counts as 0."""
    return np.mean(intersection / (np.asarray(union) + 1e-10), axis=-1)


def _warp_vspw(label: np.ndarray, flow: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    """Nearest warp with positions divided by W - 1, then read with ``align_corners=False``.

    So positions are stretched by W / (W - 1) about the centre, half a pixel at the edges. Outside the frame the id is
    0, and it is counted; with an even W or H that takes the last column or row even under zero flow.
    """
    check_flow(flow, label.shape)
    height, width = label.shape
    warped = np.empty_like(label)
    for rows, x, y in _targets(flow):
        column, row = _grid_sample_index(x, width), _grid_sample_index(y, height)
        warped[rows] = _look_up(label, np.clip(column, -1, width), np.clip(row, -1, height))
    return warped


def _grid_sample_index(position: np.ndarray, size: int) -> np.ndarray:
    """Nearest index as ``grid_sample`` finds it, in float32 like the script; halves go to even."""
    one, two = np.float32(1), np.float32(2)
    normalised = two * position / np.float32(max(size - 1, 1)) - one
    return np.rint(((normalised + one) * np.float32(size) - one) / two)


def _count_vspw(joint: np.ndarray, classes: int) -> IouCounts:
    """Confusion matrix of the script. Ids from C on in the prediction at t are left out.

    For such ids in the next prediction the script's result is not defined (they alias other classes, or it stops);
    they are left out too.
    """
    tp, fp, fn = tp_fp_fn(joint[:classes, :classes])
    return iou_counts(tp, fp, fn)._replace(source_pixels=tp + fn)


def _source_union(union: np.ndarray, source_pixels: np.ndarray) -> np.ndarray:
    """0 where the script's ``Evaluator`` leaves a class out: where it is in no map of a frame t, warped maps aside."""
    return np.where(np.asarray(source_pixels) > 0, union, 0)


def _ratio_vspw(intersection: np.ndarray, union: np.ndarray, source_pixels: np.ndarray) -> np.ndarray:
    return class_ratio(intersection, _source_union(union, source_pixels))


def _mean_vspw(intersection: np.ndarray, union: np.ndarray, source_pixels: np.ndarray) -> np.ndarray:
    return mean_ratio(intersection, _source_union(union, source_pixels))


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        TemporalProtocol("corrected", False, _warp_nearest, _count, class_ratio, mean_ratio),
        TemporalProtocol("occlusion_aware", True, _warp_visible, _count, class_ratio, mean_ratio),
        TemporalProtocol("etc_released", False, _warp_etc, _count_etc, class_ratio, _mean_etc),
        TemporalProtocol("vspw_released", False, _warp_vspw, _count_vspw, _ratio_vspw, _mean_vspw),
    )
}
