"""What one frame costs when a network runs: seconds and peak memory of several ways to compute the same classes.

    python benchmarks/inference.py
    python benchmarks/inference.py --architecture pspnet50 --height 512 --width 1024

Prints one Markdown table. A frame is taken from uint8 pixels to uint8 classes at full resolution, one frame at a time,
with random weights. Every way runs in a process of its own, so that its peak memory is its own; ratios are to the
first, plain eager fp32 in NCHW. The GPU, where there is one, is synchronised around every frame.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from matrices import matrix_speed
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from etc.inference import fused
from etc.models import registry

CLASSES = 19
# Name of each way, and whether it uses: channels last, fused normalisation, bf16, torch.compile.
WAYS = {
    "fp32 NCHW, eager": (False, False, False, False),
    "channels last": (True, False, False, False),
    "channels last, fused": (True, True, False, False),
    "channels last, fused, bf16": (True, True, True, False),
    "channels last, fused, compiled": (True, True, False, True),
    "channels last, fused, bf16, compiled": (True, True, True, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="pspnet18", help="a network that `etc networks` lists")
    parser.add_argument("--base-width", type=int, default=64, help="its base width, 64 as published")
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=2, help="measured frames of each way, after one to warm up")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of torch")
    parser.add_argument(
        "--compile", action="store_true", help="on a CPU too; there it takes minutes before the first frame"
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    on_gpu = torch.cuda.is_available()
    print(
        f"{options.architecture} of width {options.base_width}, {options.height}x{options.width}, "
        f"{options.threads} CPU threads, torch {torch.__version__}, "
        f"{torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()}; "
        f"median of {options.repeat} frames after one to warm up\n"
    )
    print("| way | s a frame | frames a second | times faster | peak memory, MB | largest change of a score |", end="")
    print(" share of the bf16 peak |" if on_gpu else "")
    print("|---|---:|---:|---:|---:|---:|" + "---:|" * on_gpu)
    first = None
    for way, (_, _, half, compiled) in WAYS.items():
        if half and not on_gpu and not torch.cpu._is_avx512_bf16_supported():
            continue
        if compiled and not (on_gpu or options.compile):
            continue
        result = run(way)
        first = first or result["seconds"]
        columns = [way, f"{result['seconds']:.3f}", f"{1 / result['seconds']:.2f}", f"{first / result['seconds']:.2f}"]
        columns += [f"{result['memory']:.0f}", f"{result['change']:.1e}"]
        if on_gpu:
            columns.append(f"{100 * result['share']:.1f} %")
        print(f"| {' | '.join(columns)} |", flush=True)
    if not on_gpu and not torch.cpu._is_avx512_bf16_supported():
        print("\nbf16 is left out: this processor has no bfloat16 instructions.")


def run(way: str) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Median seconds a frame, peak memory in MB, and the largest change of a score against plain fp32."""
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    channels_last, fuse, half, compiled = WAYS[options.way]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    precision = torch.bfloat16 if half else torch.float32
    network = trained(options).to(device)
    pixels = np.random.default_rng(0).integers(0, 256, (options.height, options.width, 3), np.uint8)
    frame = torch.from_numpy(pixels).to(device)
    operations = count_operations(network, frame.shape[:2], device) if device.type == "cuda" else 0
    small = torch.rand(1, 3, 128, 256, device=device)
    with torch.inference_mode():
        expected = network(small).logits
    network = (fused(network) if fuse else network).to(device, precision, memory_format=layout)
    if compiled:
        network.compile()

    def scores(image: torch.Tensor) -> torch.Tensor:
        return network(image.to(precision).contiguous(memory_format=layout)).logits

    def segment() -> torch.Tensor:
        logits = scores(frame.permute(2, 0, 1)[None].float() / 255)
        logits = nn.functional.interpolate(logits, size=frame.shape[:2], mode="bilinear", align_corners=False)
        return logits.argmax(1).to(torch.uint8).cpu()

    seconds = timed(segment, 3 if device.type == "cuda" else 1, options.repeat, device)
    memory = peak_memory(device)
    with torch.inference_mode():
        change = ((scores(small).float() - expected).abs().max() / expected.abs().max()).item()
    share = operations / seconds / matrix_speed(device) if operations else 0.0
    return {"seconds": seconds, "memory": memory, "change": change, "share": share}


@torch.inference_mode()
def count_operations(network: nn.Module, size: tuple[int, int], device: torch.device) -> int:
    """Floating-point operations of one frame."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *size, device=device))
    return counter.get_total_flops()


def trained(options: argparse.Namespace) -> nn.Module:
    """A network in evaluation mode whose normalisation is not the identity, as after training."""
    torch.manual_seed(0)
    network = registry.build(options.architecture, CLASSES, options.base_width)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@torch.inference_mode()
def timed(segment: Callable[[], torch.Tensor], warm_up: int, repeat: int, device: torch.device) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(warm_up + repeat):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        segment()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[warm_up:])


def peak_memory(device: torch.device) -> float:
    """Largest memory so far, MB (10^6 bytes): of torch on the GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
