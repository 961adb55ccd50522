"""The terms as pure functions of tensors.

Every function here computes in float32 or better, also under autocast: the differences that the losses
measure are smaller than the spacing of bfloat16.
"""

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from etc.core.errors import UserError
from etc.models.layers import IMAGENET_STD
from etc.models.pooling import average_bins
from etc.models.precision import full_precision
from etc.params.training import MotionForm

# A feature vector whose squared length is below this has no direction: its cosine with anything is 0.
_NO_DIRECTION = 1e-12


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow on a grid of another size, its vectors in pixels of that grid.

    The value at a new pixel centre is the old flow at the same point of the image, scaled; a wider average would
    invent motions between those of two objects.

    Args:
        flow: (B, 2, H, W), channel 0 = dx, channel 1 = dy, in pixels.
        size: (height, width) of the result.

    Returns:
        (B, 2, height, width).
    """
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow
    scale = flow.new_tensor([size[1] / width, size[0] / height]).view(1, 2, 1, 1)
    return F.interpolate(flow, size=tuple(size), mode="bilinear", align_corners=False) * scale


def resize_visible(visible: Tensor, size: tuple[int, int]) -> Tensor:
    """Visibility mask on a grid of another size: a pixel is visible if all pixels that it is interpolated from are.

    Args:
        visible: bool (B, H, W).
        size: (height, width) of the result.

    Returns:
        bool (B, height, width).
    """
    if visible.shape[-2:] == tuple(size):
        return visible
    hidden = F.interpolate((~visible)[:, None].float(), size=tuple(size), mode="bilinear", align_corners=False)
    return hidden[:, 0] == 0


def warp(x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Backward warp W(x, F)(p) = x(p + F(p)), bilinear, in pixel coordinates; zero flow is exactly the identity.

    ``grid_sample`` is not used: its normalised coordinates are not exact for most widths (errors up to 3e-4 of the
    contrast at 769 pixels) and its backward pass is not deterministic on CUDA.

    Args:
        x: (B, C, H, W) of frame s, floating point.
        flow: (B, 2, H, W) from frame t to frame s, in pixels. Values that are not finite count as out of the frame.

    Returns:
        The warped x (B, C, H, W), 0 where p + F(p) is out of the frame, and the mask bool (B, H, W) of the pixels
        where p + F(p) is in it, 0 <= column <= W-1 and 0 <= row <= H-1.
    """
    batch, channels, height, width = x.shape
    column, row, inside = _ends(flow)
    column, row = torch.where(inside, column, 0), torch.where(inside, row, 0)
    left, top = column.detach().floor(), row.detach().floor()
    x_share, y_share = column - left, row - top
    pixels = x.reshape(batch, channels, height * width)
    total = None
    for down in (0, 1):
        for right in (0, 1):
            index = (top + down).clamp(max=height - 1).long() * width + (left + right).clamp(max=width - 1).long()
            weight = (x_share if right else 1 - x_share) * (y_share if down else 1 - y_share)
            corner = pixels.gather(2, index.view(batch, 1, -1).expand(-1, channels, -1)).view_as(x)
            term = corner * weight[:, None].to(x.dtype)
            total = term if total is None else total + term
    return total.masked_fill(~inside[:, None], 0), inside


def comparable(flow: Tensor, visible: Tensor | None = None) -> Tensor:
    """The pixels that the motion loss counts: bool (B, H, W), True where the flow ends in the frame and is visible.

    Args:
        flow: (B, 2, H, W), in pixels.
        visible: bool (B, H, W); None means all.
    """
    inside = _ends(flow)[2]
    return inside if visible is None else inside & visible


def _ends(flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Column and row (B, H, W) where the vector of each pixel ends, and whether that is in the frame."""
    height, width = flow.shape[-2:]
    column = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    row = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    return column, row, inside


@full_precision
def motion_loss(
    logits_t: Tensor,
    logits_s: Tensor,
    image_t: Tensor,
    image_s: Tensor,
    flow: Tensor,
    visible: Tensor | None = None,
    form: MotionForm = "paper",
) -> Tensor:
    """Motion-guided temporal loss (Liu et al., ECCV 2020): predictions of two frames agree along the motion.

    ``paper``: mean over pixels of V ||q_t - W(q_s)||^2 with softmax scores q and V = exp(-||I_t - W(I_s)||), the
    norm over the colour channels of images in 0..1. ``released_code``: mean over pixels and classes of
    (V (Q_t - W(Q_s)))^2 with logits Q and V = exp(-|sum_c d_c|), d the difference of the ImageNet-normalised images.
    Pixels that leave the frame or are not visible are not counted; without a counted pixel the loss is 0.

    Args:
        logits_t, logits_s: (B, C, H, W) of frames t and s; gradients flow into both.
        image_t, image_s: (B, 3, H, W), RGB in 0..1.
        flow: (B, 2, H, W) from t to s, in pixels of the logits.
        visible: bool (B, H, W) on the grid of t; None means all.
        form: ``paper`` or ``released_code``.

    Raises:
        UserError: unknown form.
        ValueError: the tensors differ in height or width.
    """
    if form not in get_args(MotionForm):
        raise UserError(f"motion loss: unknown form {form!r}; use one of {', '.join(get_args(MotionForm))}")
    sizes = {tuple(x.shape[-2:]) for x in (logits_t, logits_s, image_t, image_s, flow)}
    if len(sizes) > 1:
        raise ValueError(f"logits, images and flow must have one size, got {sorted(sizes)}")
    scores_t, scores_s = (logits_t, logits_s) if form == "released_code" else (logits_t.softmax(1), logits_s.softmax(1))
    warped_scores, _ = warp(scores_s, flow)
    warped_image, _ = warp(image_s, flow)
    difference = scores_t - warped_scores
    if form == "paper":
        weight = torch.exp(-torch.linalg.vector_norm(image_t - warped_image, dim=1))
        per_pixel = weight * difference.square().sum(1)
    else:
        std = image_t.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
        weight = torch.exp(-((image_t - warped_image) / std).sum(1).abs())
        per_pixel = (weight[:, None] * difference).square().mean(1)
    counted = comparable(flow, visible)
    return per_pixel.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)


@full_precision
def pixel_wise_divergence(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, weights: Tensor | None = None
) -> Tensor:
    """KL(teacher || student) of the class scores, summed over classes, mean over pixels, times temperature^2.

    The factor keeps the size of the gradients when the temperature changes (Hinton et al., 2015).

    Args:
        student, teacher: logits (B, C, H, W); the teacher gets no gradient.
        temperature: > 0, divides both logits.
        weights: (B, H, W), >= 0, of each pixel in the mean, which is 0 if all are 0; None weighs all equally.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.detach() / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    if weights is None:
        return divergence.mean() * temperature**2
    total = weights.sum()
    return (divergence * weights).sum() / torch.where(total > 0, total, 1) * temperature**2


@full_precision
def teacher_weights(teacher: Tensor, class_weights: Tensor | None = None, min_confidence: float = 0.0) -> Tensor:
    """How much each pixel of a distilled frame counts: the weight of the teacher's class, 0 where it is not sure.

    Args:
        teacher: logits (B, C, H, W).
        class_weights: (C,), >= 0; None weighs all classes 1.
        min_confidence: smallest probability of the teacher's class that counts, 0..1, without a temperature.

    Returns:
        (B, H, W), without a gradient.
    """
    confidence, classes = teacher.detach().softmax(1).max(1)
    sure = (confidence >= min_confidence).to(confidence.dtype)
    return sure if class_weights is None else sure * class_weights.to(confidence)[classes]


@full_precision
def pair_wise_loss(student: Tensor, teacher: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
    """Pair-wise similarity inside one frame (Liu et al., CVPR 2019, structured knowledge distillation).

    1/N^2 sum_ij (a^S_ij - a^T_ij)^2, a_ij the cosine of the features at nodes i and j; mean over the batch.

    Args:
        student: features (B, C_s, H, W).
        teacher: features (B, C_t, H', W'); H' = H and W' = W unless a grid is given. It gets no gradient.
        grid: average the features to this many (rows, columns) of nodes first; None takes every pixel as a node.
    """
    student, teacher = directions(student, grid), directions(teacher.detach(), grid)
    return _similarity_distance(student, student, teacher, teacher)


@full_precision
def pair_of_frames_loss(
    student_t: Tensor,
    student_s: Tensor,
    teacher_t: Tensor,
    teacher_s: Tensor,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """Pair-wise frames' dependency PF (Liu et al., ECCV 2020): similarities between two frames.

    1/N^2 sum_ij (a^S_ij - a^T_ij)^2, a_ij the cosine of the features at pixel i of frame t and pixel j of frame s;
    mean over the batch. Exact, and no N x N matrix is formed.

    Args:
        student_t, student_s: features (B, C_s, H, W) of frames t and s; gradients flow into both.
        teacher_t, teacher_s: features (B, C_t, H, W); they get no gradient.
        grid: average the features to this many (rows, columns) of nodes first; None takes every pixel as a node.
    """
    student = directions(student_t, grid), directions(student_s, grid)
    teacher = directions(teacher_t.detach(), grid), directions(teacher_s.detach(), grid)
    return _similarity_distance(*student, *teacher)


@full_precision
def self_similarity(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cosine between every two nodes of one frame's features averaged to a grid.

    Args:
        features: (B, C, H, W).
        grid: (rows, columns) of nodes; N = rows * columns.

    Returns:
        (B, N, N), values in -1..1.
    """
    nodes = directions(features, grid)
    return nodes.transpose(1, 2) @ nodes


def directions(features: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
    """Unit feature vector of every node: (B, C, H, W) to (B, C, N).

    A vector of length 0, which a rectifier can produce, stays 0 and gets no gradient; dividing by a small number
    instead would give it a huge one.
    """
    if grid is not None:
        features = average_bins(features, [grid])[0]
    nodes = features.flatten(2)
    square = nodes.square().sum(1, keepdim=True)
    return nodes * torch.where(square > _NO_DIRECTION, square.clamp(min=_NO_DIRECTION).rsqrt(), 0)


def _similarity_distance(student_a: Tensor, student_b: Tensor, teacher_a: Tensor, teacher_b: Tensor) -> Tensor:
    """Mean squared difference of the matrices S_a^T S_b and T_a^T T_b, for (B, C, N) unit vectors.

    sum_ij (x_i . y_j)(u_i . v_j) = <X U^T, Y V^T>, so that the square needs only C x C matrices: time N C^2 in place of
    N^2 C, and no N x N matrix. The three terms nearly cancel, hence float64.
    """
    if student_a.shape[-1] != teacher_a.shape[-1] or student_b.shape[-1] != teacher_b.shape[-1]:
        raise ValueError(
            f"student and teacher need the same number of nodes, got {student_a.shape[-1]}, {student_b.shape[-1]} and "
            f"{teacher_a.shape[-1]}, {teacher_b.shape[-1]}; give a grid"
        )
    a, u = student_a.double(), teacher_a.double()
    b = a if student_b is student_a else student_b.double()
    v = u if teacher_b is teacher_a else teacher_b.double()
    terms = _gram_product(a, a, b, b) - 2 * _gram_product(a, u, b, v) + _gram_product(u, u, v, v)
    return (terms.mean() / (a.shape[-1] * b.shape[-1])).clamp(min=0).to(student_a.dtype)


def _gram_product(x: Tensor, u: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """<X U^T, Y V^T> of each batch item: (B,)."""
    first = x @ u.transpose(1, 2)
    second = first if y is x and v is u else y @ v.transpose(1, 2)
    return (first * second).sum((1, 2))
