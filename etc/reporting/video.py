"""Predictions laid over the frames of a clip, as an animation and as a video, one scheme beside the other."""

import io
from fractions import Fraction

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw

from etc.dataset.label_sets import IGNORE, LabelSet
from etc.reporting.strip import FONT_SIZE, GAP, INK, PAPER, font_of_size


def overlay(image: np.ndarray, label: np.ndarray, labels: LabelSet, opacity: float) -> np.ndarray:
    """Class colours over a frame.

    Args:
        image: uint8 (H, W, 3) RGB.
        label: uint8 (H, W) train ids; where it is 255 (ignore) the frame stays as it is.
        labels: colours of the classes.
        opacity: share of the class colour, 0..1.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    blend = cv2.addWeighted(image, 1.0 - opacity, labels.colour(label), opacity, 0.0)
    ignored = label == IGNORE
    blend[ignored] = image[ignored]
    return blend


def side_by_side(pictures: list[np.ndarray], captions: list[str], note: str, panel_width: int) -> np.ndarray:
    """One animation frame: pictures from left to right under their captions, a note at the right end.

    Args:
        pictures: uint8 (H, W, 3) RGB, all of one size.
        captions: one per picture.
        note: e.g. the frame number.
        panel_width: width of one picture in pixels.

    Returns:
        uint8 (height, width, 3) RGB; both sides even.
    """
    height, width = pictures[0].shape[:2]
    size = (panel_width, max(1, round(height * panel_width / width)))
    header = FONT_SIZE + 3 * GAP
    total = len(pictures) * (panel_width + GAP) - GAP
    canvas = Image.new("RGB", (total + total % 2, header + size[1] + (header + size[1]) % 2), PAPER)
    draw = ImageDraw.Draw(canvas)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x = i * (panel_width + GAP)
        draw.text((x + GAP, header // 2), caption, fill=INK, font=font_of_size(FONT_SIZE), anchor="lm")
        canvas.paste(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), (x, header))
    draw.text((total - GAP, header // 2), note, fill=INK, font=font_of_size(FONT_SIZE - 3), anchor="rm")
    return np.asarray(canvas)


def webp(frames: list[np.ndarray], milliseconds: int, quality: int) -> bytes:
    """Frames, uint8 (H, W, 3) RGB, as an endless animated WebP.

    Args:
        frames: all of one size.
        milliseconds: time each frame is shown.
        quality: 1..100, more is sharper and larger.
    """
    first, *rest = [Image.fromarray(frame) for frame in frames]
    with io.BytesIO() as stream:
        first.save(
            stream,
            format="webp",
            save_all=True,
            append_images=rest,
            duration=milliseconds,
            loop=0,
            quality=quality,
            method=4,
        )
        return stream.getvalue()


def mp4(frames: list[np.ndarray], milliseconds: int) -> bytes:
    """Frames, uint8 (H, W, 3) RGB with even sides, as a video that browsers play (H.264).

    Args:
        frames: all of one size.
        milliseconds: time each frame is shown.
    """
    # Equal frames give equal bytes: one thread, no dates, no code for one processor. With the preset slow one video in
    # some hundreds differs.
    options = {"preset": "veryfast", "crf": "28", "threads": "1", "x264-params": "no-asm=1"}
    with io.BytesIO() as stream:
        with av.open(stream, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
            video = container.add_stream("libx264", Fraction(1000, milliseconds), options)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(video.encode())
        return stream.getvalue()
