"""Damaged PNGs: each is refused in one line, or decodes to the pixels of the whole file; never to others."""

import time
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from etc.dataset import pictures
from etc.dataset.pictures import PictureError
from tests.dataset.files import chunk, png

SECONDS = 2.5  # for each file, at most
TRIALS = 9_600


def by_pillow(pixels, **options):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


RNG = np.random.default_rng(14)
IDS = np.kron(RNG.integers(0, 19, (8, 12)), np.ones((6, 6))).astype(np.uint8)
COLOURS = cv2.GaussianBlur(RNG.integers(0, 256, (48, 72, 3)).astype(np.uint8), (0, 0), 2)
PALETTE = chunk(b"PLTE", RNG.integers(0, 256, (32, 3)).astype(np.uint8).tobytes())
FILES = {
    "ids of OpenCV": ("ids", cv2.imencode(".png", IDS)[1].tobytes()),
    "ids of Pillow": ("ids", by_pillow(IDS)),
    "ids of 2 bits": ("ids", png(IDS % 4, 2)),
    "ids of 16 bits": ("ids", png(IDS, 16)),
    "ids in a palette": ("ids", png(IDS, 8, 3, PALETTE)),
    "frame of OpenCV": ("frame", cv2.imencode(".png", COLOURS)[1].tobytes()),
    "frame of Pillow": ("frame", by_pillow(COLOURS, optimize=True)),
}


def bits(rng, data):
    for place in rng.integers(0, 8 * len(data), rng.integers(1, 4)):
        data[place // 8] ^= 1 << (place % 8)


def length(rng, data):
    del data[rng.integers(0, len(data)) :]


def moved(rng, data):
    start, end = sorted(rng.integers(0, len(data), 2))
    data[start:end] = bytes(end - start)


def dropped(rng, data):
    start = rng.integers(0, len(data))
    del data[start : start + rng.integers(1, 64)]


@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed_or_changes_no_pixel(name):
    kind, whole = FILES[name]
    expected = pictures.decode(whole, "a.png", kind)
    rng = np.random.default_rng(list(FILES).index(name))
    start, noticed = time.monotonic(), 0
    for trial in range(TRIALS):
        data = bytearray(whole)
        (bits, bits, bits, length, moved, dropped)[trial % 6](rng, data)
        if bytes(data) == whole:
            continue
        try:
            found = pictures.decode(bytes(data), "a.png", kind)
        except PictureError as error:
            assert str(error).startswith("a.png: ") and "\n" not in str(error)
            noticed += 1
        else:
            np.testing.assert_array_equal(found, expected)
        if time.monotonic() - start > SECONDS:
            break
    assert noticed > 0.8 * trial
