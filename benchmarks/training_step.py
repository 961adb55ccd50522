"""What a training step costs: flow from the cache or computed in the step, our layout or a plain one, loading data.

    python benchmarks/training_step.py

Prints one Markdown table: medians and ratios within this run. The frames are the embedded data set's, rendered here
into a temporary folder, or those of ``--data``. "In the step" means that the loader computes the flow both ways and the
forward-backward check, as the cache holds it: DIS (medium), and on a GPU RAFT (torchvision's large one, 12 iterations,
random weights, which cost what the trained ones do; left out where torchvision is missing).
"""

import argparse
import importlib.util
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import torch
from matrices import SIZE, matrix_speed
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from training_clips import Method, Scale, enlarged, street

from etc.dataset.dataset import Dataset
from etc.dataset.label_sets import STREET
from etc.flow.estimators.raft import Raft
from etc.flow.methods import Dis
from etc.models import registry
from etc.params import student, teacher
from etc.terms.flow import opener
from etc.terms.scheme import build_terms
from etc.training.batches import Batch, Parts, loader
from etc.training.clips import training_clips
from etc.training.cross_entropy import SegmentationLoss
from etc.training.data import Samples
from etc.training.objective import Objective, outputs_per_frame
from etc.training.optimiser import make_optimiser


@dataclass(frozen=True)
class Setting:
    """One way to train: the scheme's terms, what computes flow in the step, loader processes, layout, precision."""

    name: str
    scheme: str
    online: Method | None = None
    workers: int = 0
    channels_last: bool = True
    precision: torch.dtype | None = None
    compiled: bool = False


class Times(NamedTuple):
    """Seconds of one step."""

    loading: float
    computing: float

    @property
    def total(self) -> float:
        return self.loading + self.computing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of a data set with flow, e.g. data/street; default: render")
    parser.add_argument("--steps", type=int, default=12, help="measured steps of each setting at the embedded size")
    parser.add_argument(
        "--large-batches", type=int, default=4, help="CPU: loads at a crop of 768x768; 0 leaves that crop out"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = student.load("street")
    with tempfile.TemporaryDirectory() as folder:
        if options.data:
            dataset = Dataset(options.data.name, options.data.parent)
            clips = training_clips(dataset, flow=opener(dataset))
        else:
            clips = street(Path(folder))
        small = Scale(
            clips,
            settings,
            settings.widths["pspnet18"],
            teacher.load("street").network.width,
        )
        machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
        print(f"Machine: {machine}, {os.cpu_count()} cores, torch {torch.__version__}")
        if device.type == "cuda":
            print(
                f"Peak: products of bfloat16 matrices {SIZE} x {SIZE}, {matrix_speed(device) / 1e12:.0f} TFLOP/s here"
            )
        print("\n| PSPNet18 | step | ms | loading, ms | loading, share | times the first of its block |", end="")
        print(" share of the bf16 peak |" if device.type == "cuda" else "")
        print("|---|---|---:|---:|---:|---:|" + "---:|" * (device.type == "cuda"), flush=True)
        for block in blocks(small, Path(folder), options.steps, options.large_batches, device):
            print("\n".join(block), flush=True)


def blocks(small: Scale, folder: Path, steps: int, large_batches: int, device: torch.device) -> Iterator[list[str]]:
    """The blocks of the table, as they are measured."""
    flows = flow_settings(device, folder)
    yield measure(small, flows, steps, device)
    yield measure(small, layout_settings(device), steps, device)
    if not large_batches:
        return
    torch.set_num_threads(os.cpu_count() or 1)
    large = enlarged(small, folder)
    if device.type == "cpu":
        yield measure_loading(large, flows, large_batches, device)
        return
    yield measure(large, flows, steps, device)
    yield measure(large, layout_settings(device, compiled=True), steps, device)
    yield measure_loaders(large, loader_settings(), steps, device)


def flow_settings(device: torch.device, folder: Path) -> list[Setting]:
    """Where the flow comes from."""
    dis = Dis("medium")
    settings = [Setting("tl, flow from the cache", "tl"), Setting("tl, DIS in the step", "tl", online=dis)]
    if device.type == "cuda" and importlib.util.find_spec("torchvision"):
        settings.append(Setting("tl, RAFT in the step", "tl", online=random_raft(folder)))
    return settings


def loader_settings() -> list[Setting]:
    """The same with loader processes beside the training."""
    workers = min(8, (os.cpu_count() or 1) // 2)
    return [
        Setting(f"tl, flow from the cache, {workers} loaders", "tl", workers=workers),
        Setting(f"tl, DIS in {workers} loaders", "tl", online=Dis("medium"), workers=workers),
    ]


def random_raft(folder: Path) -> Raft:
    """RAFT on the GPU with random weights."""
    from torchvision.models.optical_flow import raft_large

    torch.save(raft_large(weights=None).state_dict(), folder / "raft.pth")
    return Raft(folder / "raft.pth")


def layout_settings(device: torch.device, compiled: bool = False) -> list[Setting]:
    """How the network is computed."""
    settings = [Setting("etc, ours", "etc"), Setting("etc, plain fp32 NCHW", "etc", channels_last=False)]
    if device.type == "cuda":
        settings.append(Setting("etc, ours in bf16", "etc", precision=torch.bfloat16))
    if compiled:
        settings.append(Setting("etc, ours in bf16, compiled", "etc", precision=torch.bfloat16, compiled=True))
    return settings


def measure(scale: Scale, block: list[Setting], steps: int, device: torch.device, warm_up: int = 2) -> list[str]:
    """Rows of the table. The settings take turns, step by step, so that all see the same machine."""
    runs = [Run(scale, setting, steps + warm_up + 1, device) for setting in block]
    operations = runs[0].operations() if device.type == "cuda" else None
    times = [[run.step() for run in runs] for _ in range(warm_up + steps)]
    medians = [median(column) for column in zip(*times[warm_up:], strict=True)]
    return rows(scale, block, medians, operations, device)


def measure_loaders(scale: Scale, block: list[Setting], steps: int, device: torch.device) -> list[str]:
    """Rows of settings with loader processes: one after the other, as the processes work on while others take turns."""
    medians = []
    for setting in block:
        # What the processes have loaded ahead is used up first: two batches each.
        warm_up = 3 * setting.workers
        run = Run(scale, setting, warm_up + steps, device)
        medians.append(median([run.step() for _ in range(warm_up + steps)][warm_up:]))
    return rows(scale, block, medians, None, device)


def median(times: Iterable[Times]) -> Times:
    """Median of loading and of computing."""
    return Times(*map(statistics.median, zip(*times, strict=True)))


def measure_loading(scale: Scale, block: list[Setting], batches: int, device: torch.device) -> list[str]:
    """Rows for settings that differ in loading alone: they compute the same, which is timed in the first step only.

    On a CPU that one step takes most of a minute at the large size.
    """
    runs = [Run(scale, setting, batches + 1, device) for setting in block]
    computing = runs[0].step().computing
    loading = [[run.load()[1] for run in runs] for _ in range(batches)]
    medians = [Times(statistics.median(column), computing) for column in zip(*loading, strict=True)]
    return rows(scale, block, medians, None, device)


def rows(
    scale: Scale, block: list[Setting], medians: list[Times], operations: int | None, device: torch.device
) -> list[str]:
    """Table rows of a block, compared with its first setting."""
    training = scale.params.training
    height, width = training.augment.crop
    size = f"width {scale.width}, crop {height}x{width}, batch {training.batch}, {torch.get_num_threads()} threads"
    lines = []
    for setting, times in zip(block, medians, strict=True):
        columns = [size, setting.name, f"{1000 * times.total:.0f}", f"{1000 * times.loading:.0f}"]
        columns += [f"{100 * times.loading / times.total:.1f} %", f"{times.total / medians[0].total:.2f}"]
        if operations is not None:
            columns.append(f"{100 * operations / times.computing / matrix_speed(device):.1f} %")
        elif device.type == "cuda":
            columns.append("")
        lines.append(f"| {' | '.join(columns)} |")
    return lines


class Run:
    """A training that can be taken one step further, with its loading and its computing timed."""

    def __init__(self, scale: Scale, setting: Setting, steps: int, device: torch.device) -> None:
        params, training = scale.params, scale.params.training
        self.device, self.setting = device, setting
        weights = params.schemes[setting.scheme]
        terms = build_terms(weights, params.losses)
        torch.manual_seed(0)
        network = registry.build("pspnet18", STREET.count, scale.width)
        self.objective = Objective(network, SegmentationLoss(training.class_weights), terms, weights).train()
        self._place(self.objective)
        if setting.compiled:
            self.objective.student.compile()
        self.teacher: nn.Module | None = None
        if self.objective.teacher_frames:
            self.teacher = self._place(registry.build("pspnet18", STREET.count, scale.teacher_width)).eval()
        self.optimiser = make_optimiser(self.objective, training)
        samples = Samples(
            scale.clips_with(setting.online),
            training.augment,
            0,
            training.batch,
            self.objective.frames,
            params.sampling.partner_reach,
            cache_mb=training.machine.cache_mb,
        )
        # Decoded frames are in memory from the second epoch on; the runs are measured as they are then.
        for clip, images in samples.clips.images.items():
            for number, read in images.items():
                samples._cache.get((clip, number), read)
        self.batches = loader(samples, Parts(0, steps, training.batch, 1), setting.workers, device.type == "cuda")

    def step(self) -> Times:
        """Take one step."""
        batch, loading = self.load()
        start = time.perf_counter()
        self._compute(batch)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return Times(loading, time.perf_counter() - start)

    def load(self) -> tuple[Batch, float]:
        """The next batch, and the seconds that it took."""
        start = time.perf_counter()
        batch = next(self.batches)
        return batch, time.perf_counter() - start

    def operations(self) -> int:
        """Floating-point operations of one step, forward and backward."""
        with FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops()

    def _compute(self, batch: Batch) -> None:
        batch = Batch(*(field.to(self.device) if isinstance(field, torch.Tensor) else field for field in batch))
        if not self.setting.channels_last:
            batch = batch._replace(images=batch.images.contiguous())
        precision = self.setting.precision
        with torch.autocast(self.device.type, dtype=precision, enabled=precision is not None):
            seen = []
            if self.teacher is not None:
                with torch.no_grad():
                    seen = outputs_per_frame(self.teacher, batch.images[: self.objective.teacher_frames])
            values = self.objective(batch, seen, torch.ones(1 + len(self.objective.terms), device=self.device))
        values[0].backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _place(self, module: nn.Module) -> nn.Module:
        layout = torch.channels_last if self.setting.channels_last else torch.contiguous_format
        return module.to(self.device, memory_format=layout)


if __name__ == "__main__":
    main()
