"""What one frame costs when a network runs: seconds and peak memory of several ways to compute the same classes.

    python benchmarks/inference.py
    python benchmarks/inference.py --architecture pspnet50 --height 512 --width 1024

Prints one Markdown table. A frame is taken from uint8 pixels to uint8 classes at full resolution, one frame at a time,
with random weights. Every way runs in a process of its own, so that its peak memory is its own; ratios are to the
first, plain eager fp32 in NCHW. All others are :func:`etc.inference.predict`, as ``etc predict`` and ``etc evaluate``
run it: "compiled" is one graph from pixels to ids, on a GPU replayed as a CUDA graph. The GPU, where there is one, is
synchronised around every frame.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from matrices import matrix_speed
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from etc.inference import Segment, as_network_input, compiled, predict
from etc.models import registry
from etc.models.fused import fused

CLASSES = 19
# Name of each way, and whether it is ours with channels last, fused normalisation, bf16, torch.compile.
WAYS = {
    "fp32 NCHW, eager": (False, False, False, False),
    "channels last": (True, False, False, False),
    "channels last, fused": (True, True, False, False),
    "channels last, fused, bf16": (True, True, True, False),
    "channels last, fused, compiled": (True, True, False, True),
    "channels last, fused, bf16, compiled": (True, True, True, True),
}
# The same from pixels to ids as an ONNX file, run on the CPU by others; left out where they are not installed.
RUNTIMES = {"onnxruntime": "onnxruntime", "OpenVINO": "openvino"}


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
    parser.add_argument("--way", choices=[*WAYS, *RUNTIMES], help=argparse.SUPPRESS)
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
    print(" changed pixels |", end="")
    print(" share of the bf16 peak |" if on_gpu else "")
    print("|---|---:|---:|---:|---:|---:|---:|" + "---:|" * on_gpu)
    first = None
    installed = [way for way, module in RUNTIMES.items() if not on_gpu and importlib.util.find_spec(module)]
    for way, (_, _, half, as_graph) in (WAYS | dict.fromkeys(installed, (True, True, False, False))).items():
        if half and not on_gpu and not torch.cpu._is_avx512_bf16_supported():
            continue
        if as_graph and not (on_gpu or options.compile):
            continue
        result = run(way)
        first = first or result["seconds"]
        columns = [way, f"{result['seconds']:.3f}", f"{1 / result['seconds']:.2f}", f"{first / result['seconds']:.2f}"]
        columns += [f"{result['memory']:.0f}", "" if result["change"] is None else f"{result['change']:.1e}"]
        columns += [f"{100 * result['changed']:.3f} %"]
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
    """Median seconds a frame, peak memory in MB, largest change of a score and share of changed pixels.

    Changes are against plain fp32 on a smaller frame, those of scores as a share of the largest.
    """
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ours, fuse, half, as_graph = WAYS.get(options.way, (True, True, False, False))
    network = trained(options).to(device)
    draw = np.random.default_rng(0)
    frame = draw.integers(0, 256, (1, options.height, options.width, 3), np.uint8)
    # Coarse noise: on fine noise the scores of all pixels are nearly the same.
    small = cv2.resize(draw.integers(0, 256, (16, 32, 3), np.uint8), (512, 256), interpolation=cv2.INTER_CUBIC)[None]
    operations = count_operations(network, frame.shape[1:3], device) if device.type == "cuda" else 0
    expected, expected_ids = scores(network, small, False), plain(network, small)
    network = fused(network) if fuse else network
    if options.way in RUNTIMES:
        way = by_runtime(options.way, Segment(network).eval(), frame, options.threads)
        # On a frame of its size: the file holds one.
        small = np.ascontiguousarray(cv2.resize(small[0], frame.shape[2:0:-1])[None])
        expected_ids = plain(network, small)
    elif ours:
        segment = Segment(network.to(memory_format=torch.channels_last), half)
        segment = compiled(segment) if as_graph else segment
        way = partial(predict, segment, batch=1)
    else:
        way = partial(plain, network)
    seconds = timed(partial(way, frame), 3 if device.type == "cuda" else 1, options.repeat, device)
    memory = peak_memory(device)
    # Of others only the classes are known.
    known = options.way in WAYS
    change = ((scores(network, small, half) - expected).abs().max() / expected.abs().max()).item() if known else None
    share = operations / seconds / matrix_speed(device) if operations else 0.0
    changed = float((way(small) != expected_ids).mean())
    return {"seconds": seconds, "memory": memory, "change": change, "changed": changed, "share": share}


def by_runtime(name: str, segment: Segment, frame: np.ndarray, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """What computes ids from pixels, uint8 both, without torch."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/segment.onnx"
        torch.onnx.export(segment, (torch.from_numpy(frame),), path, dynamo=True, opset_version=20, verbose=False)
        if name == "OpenVINO":
            import openvino

            core = openvino.Core()
            model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_NUM_THREADS": threads})
            return lambda pixels: model([pixels])[0]
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        return lambda pixels: session.run(None, {given.name: pixels})[0]


@torch.inference_mode()
def plain(network: nn.Module, frames: np.ndarray) -> np.ndarray:
    """What one would write without this package: uint8 (N, H, W, 3) to class ids, uint8 (N, H, W)."""
    pixels = torch.from_numpy(frames).to(next(network.parameters()).device)
    images = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
    logits = network(images).logits
    logits = nn.functional.interpolate(logits, size=frames.shape[1:3], mode="bilinear", align_corners=False)
    return logits.argmax(1).to(torch.uint8).cpu().numpy()


@torch.inference_mode()
def scores(network: nn.Module, frames: np.ndarray, half: bool) -> torch.Tensor:
    """Scores before they are enlarged, float32."""
    device = next(network.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        return network(as_network_input(torch.from_numpy(frames).to(device))).logits.float()


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
def timed(segment: Callable[[], np.ndarray], warm_up: int, repeat: int, device: torch.device) -> float:
    """Median seconds of a call; of one CPU thread those of processor time, which other jobs disturb less."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    now = time.process_time if alone else time.perf_counter
    seconds = []
    for _ in range(warm_up + repeat):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = now()
        segment()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(now() - start)
    return statistics.median(seconds[warm_up:])


def peak_memory(device: torch.device) -> float:
    """Largest memory so far, MB (10^6 bytes): of torch on the GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
