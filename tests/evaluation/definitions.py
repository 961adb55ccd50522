"""The TC protocols written out from their definitions, one pixel at a time: what the fast code is tested against.

Nothing here is shared with ``etc.evaluation``. ``corrected`` and ``occlusion_aware`` are plain loops,
``etc_released`` is the kernel's arithmetic with exact fractions and then ``np.histogram``, ``vspw_released`` is
torch's ``grid_sample`` called as the released script calls it.
"""

from fractions import Fraction

import numpy as np
import torch


def counts(protocol, first, second, flow, visible, classes):
    """Intersection, union, same, counted of one pair, by the protocol's definition."""
    if protocol == "corrected":
        return counts_of(nearest_pairs(first, second, flow), classes)
    if protocol == "occlusion_aware":
        return counts_of(nearest_pairs(first, second, flow, visible), classes)
    if protocol == "etc_released":
        return pooled_by_histogram(first, resample2d(second, flow), classes)
    warped = grid_sample(second, flow)
    pairs = zip(first.ravel().tolist(), warped.ravel().tolist(), strict=True)
    return counts_of([(a, b) for a, b in pairs if a < classes and b < classes], classes)


def counts_of(pairs, classes):
    """Counts of a list of (id at t, id warped back)."""
    intersection = [sum(a == b == c for a, b in pairs) for c in range(classes)]
    union = [sum(c in (a, b) for a, b in pairs) for c in range(classes)]
    return intersection, union, sum(intersection), len(pairs)


def nearest_pairs(first, second, flow, visible=None):
    """Ids of the pixels that stay in the frame, are visible if a mask is given, and are 255 in neither map."""
    height, width = first.shape
    pairs = []
    for y in range(height):
        for x in range(width):
            row, column = y + round(float(flow[y, x, 1])), x + round(float(flow[y, x, 0]))
            if not (0 <= row < height and 0 <= column < width) or (visible is not None and not visible[y, x]):
                continue
            pair = (int(first[y, x]), int(second[row, column]))
            if 255 not in pair:
                pairs.append(pair)
    return pairs


def resample2d(label, flow):
    """FlowNet2's kernel over a map, then the script's cut to uint8."""
    height, width = label.shape
    rows = [[_resample2d_pixel(label, x, y, *flow[y, x]) for x in range(width)] for y in range(height)]
    return np.array(rows, np.uint8)


def _resample2d_pixel(label, x, y, dx, dy):
    """Exact fractions, rounded where the C code rounds."""
    height, width = label.shape
    xf, yf = np.float32(x) + dx, np.float32(y) + dy
    left, top = np.floor(xf), np.floor(yf)
    alpha, beta = Fraction(float(xf - left)), Fraction(float(yf - top))
    columns = [max(min(int(edge), width - 1), 0) for edge in (left, left + 1)]
    rows = [max(min(int(edge), height - 1), 0) for edge in (top, top + 1)]
    one_alpha, one_beta = _double(1 - alpha), _double(1 - beta)
    value = np.float32(0)
    for a, b, row, column in ((one_alpha, one_beta, 0, 0), (alpha, one_beta, 0, 1), (one_alpha, beta, 1, 0)):
        term = _double(_double(a * b) * int(label[rows[row], columns[column]]))
        value = value + _float(term)
    weight = Fraction(float(_float(alpha * beta)))
    # A fused multiply-add rounds once.
    return int(_float(weight * int(label[rows[1], columns[1]]) + Fraction(float(value))))


def _double(value):
    # Python rounds a Fraction to double correctly.
    return Fraction(float(value))


def _float(value):
    """A Fraction rounded once to float32: the nearest of three neighbours, the even one when two are as near."""
    near = np.float32(float(value))
    neighbours = (np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf)))
    return min(neighbours, key=lambda one: (abs(Fraction(float(one)) - value), int(one.view(np.uint32)) & 1))


def pooled_by_histogram(first, warped, classes):
    """The released counting: 255 in the warped map masks both, ``np.histogram`` over bins 0..C."""
    first, warped = first.astype(int).ravel(), warped.astype(int).ravel()
    first = np.where(warped == 255, 255, first)
    edges = list(range(classes + 1))
    agreeing = np.histogram(first[first == warped], bins=edges)[0]
    areas = [np.histogram(ids, bins=edges)[0] for ids in (first, warped)]
    return agreeing, areas[0] + areas[1] - agreeing, agreeing.sum(), areas[1].sum()


def grid_sample(label, flow):
    """VSPW's warp: positions over W - 1, nearest, ``align_corners=False``, zero padding."""
    height, width = label.shape
    position = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")).float()
    position = position + torch.from_numpy(flow).permute(2, 0, 1)
    grid = torch.stack([2.0 * position[0] / max(width - 1, 1) - 1, 2.0 * position[1] / max(height - 1, 1) - 1], -1)
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(label)[None, None].float(), grid[None], mode="nearest", align_corners=False
    )
    return sampled[0, 0].int().numpy()
