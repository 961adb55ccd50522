"""Which container for stored flow: size, time, what a damaged byte does, and what has to be installed.

    pip install zarr blosc2 h5py hdf5plugin
    python benchmarks/flow_containers.py                # flow of the embedded data set, rendered here
    python benchmarks/flow_containers.py --frames DIR   # flow of consecutive real frames, sorted by name

DIS medium flow of the pairs (t, t+1). Every container but the two exchange formats holds the same numbers: int16 in
steps of 1/16 px at half size, differences along the rows, one chunk a pair, each packed with zstd and the container's
own byte shuffle where it has them. Reading is: open the file, take one pair, bring it back to float32 at full size.
Times are ratios to .flo, minimum over rounds in which all containers take turns. Damage: one random bit of a small
file is flipped, many times, each in a process of its own; 'noticed' counts errors, 'harmless' equal content, 'silent'
changed or missing content without an error, 'crash' a killed process. Containers that are not installed are named.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import re
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from etc.flow.io import read_flo, read_kitti_png, write_flo, write_kitti_png
from etc.flow.methods import build
from etc.flow.store import FlowWriter, StoredFlow
from etc.params import frames as params
from etc.sources.street.street import generate_clip

STEP = 1 / 16
LEVEL = 3
Write = Callable[[Path, list[np.ndarray]], None]
Read = Callable[[Path, int, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Container:
    """One way to keep a clip's flow. ``path`` is a file, or a folder for the formats with a file a pair."""

    name: str
    packages: tuple[str, ...]
    write: Write
    read: Read


def encode(flow: np.ndarray) -> np.ndarray:
    """float32 (H, W, 2) to int16 (2, H/2, W/2), differences along the rows."""
    height, width = flow.shape[:2]
    half = cv2.resize(flow, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    values = np.rint(np.moveaxis(half, 2, 0) / np.float32(STEP)).astype(np.int16)
    return np.diff(values, axis=2, prepend=np.int16(0))


def decode(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Inverse of ``encode`` up to its loss."""
    planes = np.cumsum(values, axis=2, dtype=np.int16).astype(np.float32) * np.float32(STEP)
    return cv2.resize(np.ascontiguousarray(np.moveaxis(planes, 0, 2)), shape[::-1], interpolation=cv2.INTER_LINEAR)


def write_arrow(path: Path, flows: list[np.ndarray]) -> None:
    with FlowWriter(path, "benchmark", flows[0].shape[:2], STEP, "dis", 2) as writer:
        for t, flow in enumerate(flows):
            writer.write(t, t + 1, flow)


def read_arrow(path: Path, t: int, shape: tuple[int, int]) -> np.ndarray:
    return StoredFlow(path).read(t, t + 1)[0]


def write_zarr(path: Path, flows: list[np.ndarray]) -> None:
    import zarr

    values = np.stack([encode(flow) for flow in flows])
    blosc = zarr.codecs.BloscCodec(cname="zstd", clevel=LEVEL, shuffle="shuffle")
    store = zarr.storage.ZipStore(path, mode="w")
    array = zarr.create_array(
        store,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(1, *values.shape[1:]),
        compressors=[blosc, zarr.codecs.Crc32cCodec()],
    )
    array[:] = values
    store.close()


def read_zarr(path: Path, t: int, shape: tuple[int, int]) -> np.ndarray:
    import zarr

    store = zarr.storage.ZipStore(path, mode="r")
    values = zarr.open_array(store, mode="r")[t]
    store.close()
    return decode(values, shape)


def write_blosc2(path: Path, flows: list[np.ndarray]) -> None:
    import blosc2

    values = np.stack([encode(flow) for flow in flows])
    blosc2.asarray(
        values,
        chunks=(1, *values.shape[1:]),
        urlpath=str(path),
        mode="w",
        cparams={"codec": blosc2.Codec.ZSTD, "clevel": LEVEL, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1},
    )


def read_blosc2(path: Path, t: int, shape: tuple[int, int]) -> np.ndarray:
    import blosc2

    return decode(blosc2.open(str(path), mode="r", dparams={"nthreads": 1})[t], shape)


def write_hdf5(path: Path, flows: list[np.ndarray], **compression: object) -> None:
    import h5py

    values = np.stack([encode(flow) for flow in flows])
    with h5py.File(path, "w") as file:
        file.create_dataset("flow", data=values, chunks=(1, *values.shape[1:]), fletcher32=True, **compression)


def write_hdf5_gzip(path: Path, flows: list[np.ndarray]) -> None:
    write_hdf5(path, flows, compression="gzip", shuffle=True)


def write_hdf5_blosc(path: Path, flows: list[np.ndarray]) -> None:
    import hdf5plugin

    write_hdf5(path, flows, compression=hdf5plugin.Blosc(cname="zstd", clevel=LEVEL, shuffle=hdf5plugin.Blosc.SHUFFLE))


def read_hdf5(path: Path, t: int, shape: tuple[int, int]) -> np.ndarray:
    import h5py

    if importlib.util.find_spec("hdf5plugin"):
        import hdf5plugin  # noqa: F401, makes its filters known
    with h5py.File(path) as file:
        return decode(file["flow"][t], shape)


def write_npz(path: Path, flows: list[np.ndarray]) -> None:
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **{str(t): encode(flow) for t, flow in enumerate(flows)})


def read_npz(path: Path, t: int, shape: tuple[int, int]) -> np.ndarray:
    with np.load(path) as file:
        return decode(file[str(t)], shape)


def write_flo_files(path: Path, flows: list[np.ndarray]) -> None:
    for t, flow in enumerate(flows):
        write_flo(path / f"{t}.flo", flow)


def write_kitti_files(path: Path, flows: list[np.ndarray]) -> None:
    for t, flow in enumerate(flows):
        write_kitti_png(path / f"{t}.png", flow)


CONTAINERS = [
    Container(".flo, a file a pair", (), write_flo_files, lambda path, t, shape: read_flo(path / f"{t}.flo")),
    Container(
        "KITTI PNG, a file a pair", (), write_kitti_files, lambda path, t, shape: read_kitti_png(path / f"{t}.png")[0]
    ),
    Container("Arrow IPC (etc.flow.store)", ("pyarrow",), write_arrow, read_arrow),
    Container("zarr, zip store", ("zarr",), write_zarr, read_zarr),
    Container("blosc2", ("blosc2",), write_blosc2, read_blosc2),
    Container("HDF5, gzip", ("h5py",), write_hdf5_gzip, read_hdf5),
    Container("HDF5, blosc zstd", ("h5py", "hdf5plugin"), write_hdf5_blosc, read_hdf5),
    Container("npz", (), write_npz, read_npz),
]


def size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def damage(container: Container, flows: list[np.ndarray], folder: Path, flips: int) -> dict[str, int]:
    """What one flipped bit does."""
    path, shape = folder / "small", flows[0].shape[:2]
    container.write(path, flows)
    target = min(path.iterdir()) if path.is_dir() else path
    whole = target.read_bytes()
    expected = [container.read(path, t, shape) for t in range(len(flows))]
    outcomes = dict.fromkeys(("noticed", "harmless", "silent", "crash"), 0)
    rng = np.random.default_rng(0)
    for position, bit in zip(rng.integers(0, len(whole), flips), rng.integers(0, 8, flips), strict=True):
        data = bytearray(whole)
        data[position] ^= 1 << bit
        target.write_bytes(data)
        child = os.fork()
        if child == 0:
            # Some libraries complain on the error stream before they raise.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                same = all(np.array_equal(container.read(path, t, shape), one) for t, one in enumerate(expected))
                os._exit(1 if same else 2)
            except BaseException:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcomes[{0: "noticed", 1: "harmless", 2: "silent"}.get(status, "crash")] += 1
    return outcomes


def new_packages(names: tuple[str, ...]) -> tuple[int, float]:
    """How many distributions a container adds to those that the project needs, and their size in MB."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["dependencies"]
    added = closure(names) - closure(tuple(re.split("[ =<>]", line)[0] for line in project))
    files = [file for name in added for file in importlib.metadata.files(name) or []]
    return len(added), sum(file.size or 0 for file in files) / 1e6


def closure(names: tuple[str, ...]) -> set[str]:
    found, waiting = set(), list(names)
    while waiting:
        name = re.sub("[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        waiting += [re.match("[A-Za-z0-9._-]+", line)[0] for line in required if ";" not in line]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, help="folder of consecutive frames; default: the embedded data set")
    parser.add_argument("--rounds", type=int, default=5, help="the minimum over so many rounds is reported")
    parser.add_argument("--flips", type=int, default=400, help="bits flipped in a small file of each container")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.frames:
        paths = sorted(path for path in arguments.frames.iterdir() if path.suffix in (".png", ".jpg"))
        images = [cv2.imread(str(path))[..., ::-1].copy() for path in paths]
    else:
        images = list(generate_clip(params.load("street"), "dev", 0).images)
    estimate = build("dis", preset="medium")
    flows = [estimate(*images[t : t + 2]) for t in range(len(images) - 1)]
    shape = flows[0].shape[:2]
    usable = [one for one in CONTAINERS if all(importlib.util.find_spec(name) for name in one.packages)]
    small = [np.ascontiguousarray(flow[: shape[0] // 8, : shape[1] // 8]) for flow in flows[:3]]
    writing, reading, sizes, damaged = {}, {}, {}, {}
    picks = np.random.default_rng(0).integers(0, len(flows), arguments.rounds)
    with tempfile.TemporaryDirectory() as name:
        folders = {one.name: Path(name) / str(number) for number, one in enumerate(usable)}
        for folder in folders.values():
            folder.mkdir()
        for pick in picks:
            for one in usable:
                path = folders[one.name] / "clip"
                seconds = timed(lambda one=one, path=path: one.write(path, flows))
                writing[one.name] = min(seconds, writing.get(one.name, np.inf))
                sizes[one.name] = size(path)
                seconds = timed(lambda one=one, path=path, pick=pick: one.read(path, int(pick), shape))
                reading[one.name] = min(seconds, reading.get(one.name, np.inf))
        for one in usable:
            damaged[one.name] = damage(one, small, folders[one.name], arguments.flips)
    first = usable[0].name
    print(f"{shape[1]}x{shape[0]}, {len(flows)} pairs; minimum of {arguments.rounds} rounds; {arguments.flips} flips\n")
    print(
        "| container | smaller than .flo | write | read a pair | noticed | harmless | silent | crash | new packages |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for one in usable:
        count, megabytes = new_packages(one.packages)
        outcome = " | ".join(str(value) for value in damaged[one.name].values())
        print(
            f"| {one.name} | {sizes[first] / sizes[one.name]:.1f}x | {writing[one.name] / writing[first]:.2f} "
            f"| {reading[one.name] / reading[first]:.2f} | {outcome} "
            f"| {f'{count} ({megabytes:.0f} MB)' if count else 'none'} |"
        )
    for one in CONTAINERS:
        if one not in usable:
            print(f"\nNot installed: {one.name} (pip install {' '.join(one.packages)})")


if __name__ == "__main__":
    main()
