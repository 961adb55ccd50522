"""From samples to the batches of each step, divided among processes and parts."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from etc.core.errors import UserError, first_line
from etc.models.memory import is_out_of_memory
from etc.training import device_augment
from etc.training.augment import Augmentation
from etc.training.data import Samples
from etc.training.device_augment import Cut
from etc.workers import keep_freed_memory


class Batch(NamedTuple):
    """B samples of K frames: the labelled one, its partner, a third; K is the number that the losses need.

    images: float32 (K, B, 3, h, w), RGB in 0..1. labels: int64 (B, h, w), 255 = ignore. flow: float32 (B, 2, h, w)
    from the labelled frame to its partner, pixels; visible: bool (B, h, w), its valid part; None without flow.
    order: int64 (B, K), positions of the frames in temporal order. names: the frames of each sample.
    """

    images: Tensor
    labels: Tensor
    flow: Tensor | None
    visible: Tensor | None
    order: Tensor
    names: tuple[str, ...]


class CutBatch(NamedTuple):
    """B samples that are changed on the device, see :func:`on_device`.

    augmentations: the change of each. samples: what it changes, see :func:`etc.training.device_augment.apply`. order,
    names: see :class:`Batch`.
    """

    augmentations: tuple[Augmentation, ...]
    samples: tuple[tuple[list[Tensor], Tensor, Tensor | None, Tensor | None], ...]
    order: Tensor
    names: tuple[str, ...]


class Parts:
    """Batch sampler: the sample numbers of each part of each step that one process computes.

    A step's batch is cut into ``processes * accumulate`` equal parts; process r takes the parts
    ``r * accumulate`` to ``(r + 1) * accumulate - 1``.

    Raises:
        UserError: the batch cannot be cut like that.
    """

    def __init__(
        self, start: int, stop: int, batch: int, accumulate: int, process: int = 0, processes: int = 1
    ) -> None:
        parts = processes * accumulate
        if batch % parts:
            raise UserError(
                f"batch {batch} cannot be shared evenly by {processes} processes x {accumulate} parts; "
                "change 'batch' or 'accumulate'"
            )
        self.steps, self.batch, self.size = range(start, stop), batch, batch // parts
        self.parts = range(process * accumulate, (process + 1) * accumulate)

    def __len__(self) -> int:
        return len(self.steps) * len(self.parts)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            for part in self.parts:
                first = step * self.batch + part * self.size
                yield list(range(first, first + self.size))


def loader(samples: Samples, parts: Parts, workers: int, pin_memory: bool) -> Iterator[Batch | CutBatch]:
    """Yield a batch for each part.

    Raises:
        UserError: a frame, label or flow is missing or wrong.
    """
    batches = DataLoader(
        _Reporting(samples),
        batch_sampler=parts,
        num_workers=workers,
        collate_fn=_collate_or_report,
        pin_memory=pin_memory,
        # A forked worker can hang on its parent's thread pools, and would keep the work folder locked.
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_start_worker,
    )
    for batch in batches:
        if isinstance(batch, UserError):
            raise batch
        yield batch


class _Reporting(Dataset):
    """Returns a ``UserError`` as a value: raised in a worker, it would come out as the worker's traceback."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, number: int) -> dict[str, Any] | UserError:
        try:
            return self.samples[number]
        except UserError as error:
            return error


def _collate_or_report(items: list[dict[str, Any] | UserError]) -> Batch | CutBatch | UserError:
    wrong = next((item for item in items if isinstance(item, UserError)), None)
    if wrong is not None:
        return wrong
    try:
        return cut_batch(items) if isinstance(items[0]["sample"], Cut) else collate(items)
    except RuntimeError as error:
        # While a batch is sent, nobody would be told.
        if get_worker_info() is None or is_out_of_memory(error):
            raise
        return UserError(
            f"a batch cannot be put into shared memory ({first_line(error)}): raise the limit (`ulimit -f`, as it "
            "counts as a file), or set 'machine.workers' to 0"
        )


def collate(items: list[dict[str, Any]]) -> Batch:
    """Stack samples into tensors; in a loader process these lie in shared memory, where they go anyway."""
    samples = [item["sample"] for item in items]
    flow, visible = None, None
    if samples[0].flow is not None:
        flow = _stacked([sample.flow.transpose(2, 0, 1) for sample in samples])
        visible = _stacked([sample.visible for sample in samples])
    return Batch(
        # (K, B, h, w, 3) viewed as (K, B, 3, h, w) is already channels-last.
        images=_stacked([sample.images for sample in samples], axis=1).permute(0, 1, 4, 2, 3),
        labels=_stacked([sample.label for sample in samples], dtype=np.int64),
        flow=flow,
        visible=visible,
        order=_stacked([item["order"] for item in items]),
        names=tuple(item["name"] for item in items),
    )


def cut_batch(items: list[dict[str, Any]]) -> CutBatch:
    """Samples of different sizes, side by side; their tensors lie where :func:`collate` puts its own."""
    cuts = [item["sample"] for item in items]
    return CutBatch(
        augmentations=tuple(cut.augmentation for cut in cuts),
        samples=tuple(
            ([_stacked([image])[0] for image in images], *(None if one is None else _stacked([one])[0] for one in rest))
            for _, images, *rest in cuts
        ),
        order=_stacked([item["order"] for item in items]),
        names=tuple(item["name"] for item in items),
    )


def on_device(batch: Batch | CutBatch, device: torch.device) -> Batch:
    """The batch on this device; samples that loaders have only cut are changed there."""
    if isinstance(batch, Batch):
        return Batch(*(_moved(field, device) if isinstance(field, Tensor) else field for field in batch))
    changed = []
    for augmentation, (images, *rest) in zip(batch.augmentations, batch.samples, strict=True):
        there = [None if part is None else _moved(part, device) for part in rest]
        changed.append(device_augment.apply(augmentation, [_moved(image, device) for image in images], *there))
    images, labels, flow, visible = zip(*changed, strict=True)
    has_flow = flow[0] is not None
    return Batch(
        images=torch.stack(images, dim=1).permute(0, 1, 4, 2, 3),
        labels=torch.stack(labels).long(),
        flow=torch.stack(flow).permute(0, 3, 1, 2).contiguous() if has_flow else None,
        visible=torch.stack(visible) if has_flow else None,
        order=_moved(batch.order, device),
        names=batch.names,
    )


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.to(device, non_blocking=True)


def _stacked(arrays: list[np.ndarray], axis: int = 0, dtype: type | None = None) -> Tensor:
    shape = list(arrays[0].shape)
    shape.insert(axis, len(arrays))
    kind = np.dtype(dtype or arrays[0].dtype)
    if get_worker_info() is None:
        whole = np.empty(shape, kind)
    else:
        # As torch's own collate function does: a tensor that is moved there later is copied once more.
        storage = torch.UntypedStorage._new_shared(math.prod(shape) * kind.itemsize)
        whole = torch.tensor([], dtype=torch.from_numpy(np.empty(0, kind)).dtype).set_(storage).numpy().reshape(shape)
    return torch.from_numpy(np.stack(arrays, axis, out=whole, casting="safe"))


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
    keep_freed_memory()
