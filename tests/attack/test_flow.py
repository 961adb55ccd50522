"""Damaged flow files: noticed, or read as what was written, never as something else."""

import numpy as np
import pytest

from etc.core.errors import UserError
from etc.flow.store import FlowWriter, StoredFlow

SHAPE = (20, 33)
PAIRS = ((0, 1), (1, 0), (1, 2))


def flip_bits(rng, data):
    for place in rng.integers(0, len(data), rng.integers(1, 4)):
        data[place] ^= 1 << rng.integers(8)
    return data


def set_bytes(rng, data):
    start, length = rng.integers(len(data)), rng.integers(1, 9)
    values = rng.choice([0, 255, 128, 1, rng.integers(256)], length)
    data[start : start + length] = values[: len(data) - start]
    return data


def cut(rng, data):
    return data[: rng.integers(len(data))]


def cut_out(rng, data):
    start, length = rng.integers(len(data)), rng.integers(1, 200)
    return np.delete(data, slice(start, start + length))


def repeat(rng, data):
    start, length = rng.integers(len(data)), rng.integers(1, 200)
    return np.insert(data, start, data[start : start + length])


def exchange(rng, data):
    length = rng.integers(1, 200)
    first, second = np.sort(rng.integers(0, len(data) - length, 2))
    parts = data[first : first + length].copy(), data[second : second + length].copy()
    data[first : first + length], data[second : second + length] = parts[1], parts[0]
    return data


def of_another(rng, data, other):
    """The first part of this file, the rest of another one of the same clip."""
    place = rng.integers(min(len(data), len(other)))
    return np.concatenate([data[:place], other[place:]])


def zeros(rng, data):
    """A block that never reached the disk."""
    start = rng.integers(len(data) // 512 + 1) * 512
    data[start : start + 512] = 0
    return data


DAMAGE = [flip_bits, set_bytes, cut, cut_out, repeat, exchange, zeros, of_another]


def write(path, seed, scale):
    rng = np.random.default_rng([seed, scale])
    with FlowWriter(path, f"{seed:032}", SHAPE, scale=scale, method="dis") as writer:
        for number, pair in enumerate(PAIRS):
            flow = rng.normal(0, 3, (*SHAPE, 2)).astype(np.float32)
            writer.write(*pair, flow, rng.random(SHAPE) < 0.9 if number % 2 == 0 else None)
    return np.frombuffer(path.read_bytes(), np.uint8)


def content(path):
    """All that a reader can learn from a file."""
    reader = StoredFlow(path)
    about = (reader.pairs, reader.shape, reader.step, reader.scale, reader.method, reader.key)
    arrays = [reader.read(*pair) for pair in reader.pairs]
    return about, [(flow.tobytes(), None if mask is None else mask.tobytes()) for flow, mask in arrays]


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_flow_file_is_noticed_or_reads_the_same(tmp_path, damage, scale):
    path = tmp_path / "clip.arrow"
    good, other = write(path, 0, scale), write(tmp_path / "other.arrow", 1, scale)
    expected, foreign = content(path), content(tmp_path / "other.arrow")
    rng = np.random.default_rng([DAMAGE.index(damage), scale])
    noticed = 0
    for trial in range(250):
        bad = damage(rng, good.copy(), other) if damage is of_another else damage(rng, good.copy())
        path.write_bytes(bad.tobytes())
        try:
            found = content(path)
        except UserError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error), (trial, str(error))
            noticed += 1
        else:
            # A file may also be all of the other one: its key says so.
            assert found in (expected, foreign), trial
    assert noticed > 100
