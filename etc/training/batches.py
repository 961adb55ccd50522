"""From samples to the batches of each step, divided among processes and parts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from etc.core.errors import UserError, first_line
from etc.training.data import Samples


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


def loader(samples: Samples, parts: Parts, workers: int, pin_memory: bool) -> Iterator[Batch]:
    """Yield a :class:`Batch` for each part.

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


def _collate_or_report(items: list[dict[str, Any] | UserError]) -> Batch | UserError:
    wrong = next((item for item in items if isinstance(item, UserError)), None)
    if wrong is not None:
        return wrong
    batch = collate(items)
    return batch if get_worker_info() is None else _shared(batch)


def _shared(batch: Batch) -> Batch | UserError:
    """The batch in shared memory, where it goes anyway; if that failed while it is sent, nobody would be told."""
    try:
        for tensor in batch:
            if isinstance(tensor, Tensor):
                tensor.share_memory_()
    except RuntimeError as error:
        return UserError(
            f"a batch cannot be put into shared memory ({first_line(error)}): raise the limit (`ulimit -f`, as it "
            "counts as a file), or set 'machine.workers' to 0"
        )
    return batch


def collate(items: list[dict[str, Any]]) -> Batch:
    """Stack samples into tensors."""
    samples = [item["sample"] for item in items]
    images = np.stack([sample.images for sample in samples], axis=1)
    flow, visible = None, None
    if samples[0].flow is not None:
        flow = torch.from_numpy(np.stack([sample.flow for sample in samples])).permute(0, 3, 1, 2).contiguous()
        visible = torch.from_numpy(np.stack([sample.visible for sample in samples]))
    return Batch(
        # (K, B, h, w, 3) viewed as (K, B, 3, h, w) is already channels-last.
        images=torch.from_numpy(images).permute(0, 1, 4, 2, 3),
        labels=torch.from_numpy(np.stack([sample.label for sample in samples]).astype(np.int64)),
        flow=flow,
        visible=visible,
        order=torch.from_numpy(np.stack([item["order"] for item in items])),
        names=tuple(item["name"] for item in items),
    )


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
