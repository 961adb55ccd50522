"""The strip and the animation, pixel by pixel where it matters."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.reporting import strip, video
from tests.reporting.world import label_map


def panels(picture, rows, columns, width, height):
    """Cut the panels out again: they stand right-aligned, below the frame numbers, ``GAP`` apart."""
    left = picture.shape[1] - columns * (width + strip.GAP)
    top = strip.FONT_SIZE + 3 * strip.GAP
    cut = {}
    for row in range(rows):
        for column in range(columns):
            y, x = top + row * (height + strip.GAP), left + column * (width + strip.GAP)
            cut[row, column] = picture[y : y + height, x : x + width]
    return cut


def test_strip_shows_frames_above_label_maps():
    frames = np.stack([np.full((32, 64, 3), 40 * i, np.uint8) for i in range(3)])
    maps = [label_map(i) for i in range(3)]
    picture = strip.strip(frames, [("truth", maps), ("etc", maps[::-1])], [7, 8, 9], STREET, 64)
    cut = panels(picture, 3, 3, 64, 32)
    for i in range(3):
        assert (np.abs(cut[0, i].astype(int) - frames[i]) <= 3).all()
        assert (cut[1, i] == STREET.colour(maps[i])).all()
        assert (cut[2, i] == STREET.colour(maps[2 - i])).all()


def test_strip_keeps_the_shape_of_large_frames_and_the_colours_of_classes():
    frames, label = np.zeros((2, 96, 256, 3), np.uint8), np.kron(label_map(0), np.ones((3, 4), np.uint8))
    picture = strip.strip(frames, [("etc", [label, label])], [0, 1], STREET, 64)
    cut = panels(picture, 2, 2, 64, 24)
    colours = {tuple(colour) for colour in cut[1, 0].reshape(-1, 3)}
    assert colours <= {STREET.palette[c] for c in np.unique(label)}


def test_strip_names_every_class_even_when_they_need_several_lines():
    frames = np.zeros((1, 32, 64, 3), np.uint8)
    picture = strip.strip(frames, [("etc", [np.zeros((32, 64), np.uint8)])], [0], CITYSCAPES, 128)
    legend = picture[strip.FONT_SIZE + 3 * strip.GAP + 2 * (64 + strip.GAP) :].reshape(-1, 3)
    assert {tuple(colour) for colour in legend} >= set(CITYSCAPES.palette)


def test_frame_without_truth_is_blank():
    frames = np.zeros((2, 32, 64, 3), np.uint8)
    picture = strip.strip(frames, [("truth", [label_map(0), None])], [0, 1], STREET, 64)
    cut = panels(picture, 2, 2, 64, 32)
    assert (cut[1, 1][:5] == strip.NO_LABEL).all() and not (cut[1, 0][:5] == strip.NO_LABEL).all()


def test_noisiest_strip_at_default_size_fits_into_git():
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (5, 128, 256, 3), dtype=np.uint8)
    label = np.kron(label_map(0), np.ones((4, 4), np.uint8))
    data = strip.png(
        strip.strip(frames, [(name, [label] * 5) for name in ("truth", "baseline", "etc")], [1] * 5, STREET, 256)
    )
    assert len(data) < 500_000
    assert data == strip.png(
        strip.strip(frames, [(name, [label] * 5) for name in ("truth", "baseline", "etc")], [1] * 5, STREET, 256)
    )


@pytest.mark.parametrize("opacity", [0.0, 0.25, 1.0])
def test_overlay_blends_and_leaves_ignored_pixels(opacity):
    image = np.random.default_rng(1).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    label = label_map(0)
    label[:4] = 255
    blended = video.overlay(image, label, STREET, opacity)
    assert (blended[:4] == image[:4]).all()
    expected = (1 - opacity) * image + opacity * np.array(STREET.palette, float)[np.minimum(label, 8)]
    assert np.abs(blended[4:] - expected[4:]).max() <= 0.5001


def test_animation_has_all_frames_and_repeats_exactly():
    draw = np.random.default_rng(2)
    frames = []
    for i in range(5):
        pictures = [draw.integers(0, 256, (32, 64, 3), dtype=np.uint8) for _ in range(2)]
        frames.append(video.side_by_side(pictures, ["baseline", "etc"], f"clip {i}", 101))
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0
    data = video.webp(frames, 120, 70)
    assert data == video.webp(frames, 120, 70)
    animation = Image.open(io.BytesIO(data))
    assert animation.n_frames == 5 and animation.info["loop"] == 0
    animation.seek(1)
    animation.load()
    assert animation.info["duration"] == 120


def test_panels_of_the_animation_stand_in_the_order_of_their_captions():
    red, blue = (np.full((32, 64, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    frame = video.side_by_side([red, blue], ["a", "b"], "", 64)
    assert tuple(frame[-10, 20]) == (255, 0, 0) and tuple(frame[-10, -20]) == (0, 0, 255)


def test_a_video_has_all_frames_and_repeats_exactly():
    frames = [np.full((32, 48, 3), 40 * number, np.uint8) for number in range(5)]
    data = video.mp4(frames, 250)
    assert data == video.mp4(frames, 250)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.average_rate, stream.pix_fmt) == ("h264", 4, "yuv420p")
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 5
    for one, frame in zip(decoded, frames, strict=True):
        assert abs(one.astype(int) - frame).max() <= 4
