"""A strip of consecutive frames: the camera's picture above the label maps of truth and predictions, with a legend."""

import io
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from etc.dataset.label_sets import LabelSet

GAP = 4
FONT_SIZE = 14
INK = (30, 30, 30)
PAPER = (255, 255, 255)
NO_LABEL = (225, 225, 225)


def strip(
    images: np.ndarray,
    rows: list[tuple[str, list[np.ndarray | None]]],
    numbers: list[int],
    labels: LabelSet,
    panel_width: int,
) -> np.ndarray:
    """Lay out frames from left to right and sources from top to bottom.

    Args:
        images: uint8 (K, H, W, 3) RGB, K consecutive frames.
        rows: name and K label maps, uint8 (H, W) train ids with 255 = ignore; None for a frame without a label map.
        numbers: the K frame numbers, written above the columns.
        labels: names and colours of the classes.
        panel_width: width of one frame in pixels; the height keeps the frames' shape.

    Returns:
        uint8 (height, width, 3) RGB.
    """
    count, height, width = images.shape[:3]
    size = (panel_width, max(1, round(height * panel_width / width)))
    font = font_of_size(FONT_SIZE)
    names = ["frame", *(name for name, _ in rows)]
    margin = int(max(font.getlength(name) for name in names)) + 5 * GAP
    header = FONT_SIZE + 3 * GAP
    canvas_width = margin + count * (panel_width + GAP)
    entries = _legend_rows(labels.names, margin, canvas_width, font)
    line = FONT_SIZE + 3 * GAP
    canvas_height = header + len(names) * (size[1] + GAP) + 2 * GAP + len(entries) * line
    canvas = Image.new("RGB", (canvas_width, canvas_height), PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, number in enumerate(numbers):
        x = margin + column * (panel_width + GAP) + panel_width // 2
        draw.text((x, header // 2), str(number), fill=INK, font=font, anchor="mm")
    panels = [[_photo(image, size) for image in images]]
    panels += [[_label_panel(label, labels, size) for label in maps] for _, maps in rows]
    for row, (name, pictures) in enumerate(zip(names, panels, strict=True)):
        y = header + row * (size[1] + GAP)
        draw.text((margin - 2 * GAP, y + size[1] // 2), name, fill=INK, font=font, anchor="rm")
        for column, picture in enumerate(pictures):
            canvas.paste(picture, (margin + column * (panel_width + GAP), y))
    top = header + len(names) * (size[1] + GAP) + 2 * GAP
    for row, entry in enumerate(entries):
        for x, train_id in entry:
            y = top + row * line
            draw.rectangle((x, y, x + FONT_SIZE, y + FONT_SIZE), fill=labels.palette[train_id], outline=INK)
            text_at = (x + FONT_SIZE + 2 * GAP, y + FONT_SIZE // 2)
            draw.text(text_at, labels.names[train_id], fill=INK, font=font, anchor="lm")
    return np.asarray(canvas)


def png(picture: np.ndarray) -> bytes:
    """An RGB picture, uint8 (H, W, 3), as PNG bytes."""
    with io.BytesIO() as stream:
        Image.fromarray(picture).save(stream, format="png", optimize=True)
        return stream.getvalue()


@cache
def font_of_size(size: int) -> ImageFont.FreeTypeFont:
    """The font that ships with matplotlib, so that pictures and plots match on every machine."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)


def _photo(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    # Six bits a channel look the same and keep the noise of the camera from filling the file.
    return Image.fromarray(resized & 0xFC)


def _label_panel(label: np.ndarray | None, labels: LabelSet, size: tuple[int, int]) -> Image.Image:
    if label is None:
        panel = Image.new("RGB", size, NO_LABEL)
        middle = (size[0] // 2, size[1] // 2)
        ImageDraw.Draw(panel).text(middle, "no label", fill=INK, font=font_of_size(12), anchor="mm")
        return panel
    return Image.fromarray(labels.colour(label)).resize(size, Image.Resampling.NEAREST)


def _legend_rows(
    names: tuple[str, ...], left: int, right: int, font: ImageFont.FreeTypeFont
) -> list[list[tuple[int, int]]]:
    """Positions of the legend: per row, x in pixels and class of each entry."""
    rows, x = [[]], left
    for train_id, name in enumerate(names):
        width = FONT_SIZE + 2 * GAP + int(font.getlength(name)) + 5 * GAP
        if rows[-1] and x + width > right:
            rows.append([])
            x = left
        rows[-1].append((x, train_id))
        x += width
    return rows
