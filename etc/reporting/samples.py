"""The clips whose predictions the evaluation keeps, and the pictures that show them."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from etc.core.errors import UserError, first_line
from etc.dataset.dataset import Dataset
from etc.flow.store import StoredFlow
from etc.params import report
from etc.params.experiment import Run
from etc.reporting import strip, video
from etc.reporting.flicker import CAPTIONS, Flicker


class Sample(NamedTuple):
    """Predictions of one clip.

    Attributes:
        clip: its name.
        rows: of the manifest, one for each of the K frames.
        predictions: per scheme uint8 (K, H, W) train ids.
    """

    clip: str
    rows: list[dict[str, Any]]
    predictions: dict[str, np.ndarray]

    @property
    def frames(self) -> list[int]:
        """The K frame numbers."""
        return [row["frame"] for row in self.rows]


def read(data: Dataset, shown: Mapping[str, Run]) -> list[Sample]:
    """The sample clips as predicted by each shown run, at least one.

    Args:
        data: the data set.
        shown: a run of each scheme, the baseline first.

    Raises:
        UserError: a file is missing or damaged or holds no clip, or the runs do not hold the same frames, or frames
            that the manifest does not have.
    """
    held = {scheme: list(_clips(data, one)) for scheme, one in shown.items()}
    first, *others = ([(clip, frames) for clip, frames, _ in clips] for clips in held.values())
    for one, clips in zip(list(shown.values())[1:], others, strict=True):
        if clips != first:
            remedy = _again(data, one)
            raise UserError(f"{_path(data, one)}: holds another clip or other frames than the baseline's; {remedy}")
    return [
        Sample(clip, _rows(data, clip, frames), {scheme: held[scheme][place][2] for scheme in shown})
        for place, (clip, frames) in enumerate(first)
    ]


def still(data: Dataset, sample: Sample, settings: report.Strip) -> bytes:
    """Consecutive frames from the middle of the clip, with the truth and all predictions, as PNG bytes."""
    count = min(settings.frames, len(sample.rows))
    start = (len(sample.rows) - count) // 2
    chosen = slice(start, start + count)
    shown = sample.rows[chosen]
    images = np.stack([data.image(row) for row in shown])
    truths = [data.label(row) if row["label"] else None for row in shown]
    rows = [("truth", truths)] if any(truth is not None for truth in truths) else []
    rows += [(scheme, list(maps[chosen])) for scheme, maps in sample.predictions.items()]
    return strip.png(strip.strip(images, rows, sample.frames[chosen], data.label_set, settings.panel_width))


def animation(data: Dataset, sample: Sample, settings: report.Overlay) -> bytes:
    """All predictions over the frames, side by side, as WebP bytes."""
    pictures = []
    for place, row in enumerate(sample.rows[: settings.frames]):
        image = data.image(row)
        layers = [_overlaid(data, image, maps[place], settings) for maps in sample.predictions.values()]
        note = f"{sample.clip} {row['frame']}"
        pictures.append(video.side_by_side(layers, list(sample.predictions), note, settings.panel_width))
    return video.webp(pictures, settings.milliseconds, settings.quality)


def moving(data: Dataset, sample: Sample, settings: report.Overlay) -> bytes:
    """Predictions, changes and accumulated changes of each shown run, one below the other, as MP4 bytes.

    Raises:
        UserError: the flow of the clip that judges TC is missing or damaged.
    """
    flow, pictures = StoredFlow(data.folder / "flow" / "evaluate" / f"{sample.clip}.arrow"), []
    flickers = {scheme: Flicker() for scheme in sample.predictions}
    for place, row in enumerate(sample.rows[: settings.frames]):
        image, panels = data.image(row), []
        back = flow.read(row["frame"], sample.rows[place - 1]["frame"])[0] if place else None
        for scheme, maps in sample.predictions.items():
            shown = [_overlaid(data, image, maps[place], settings), *flickers[scheme](image, maps[place], back)]
            note = str(row["frame"])
            panels.append(video.side_by_side(shown, [scheme, *CAPTIONS], note, settings.panel_width))
        pictures.append(np.vstack(panels))
    return video.mp4(pictures, settings.milliseconds)


def _overlaid(data: Dataset, image: np.ndarray, ids: np.ndarray, settings: report.Overlay) -> np.ndarray:
    return video.overlay(image, ids, data.label_set, settings.opacity)


def _clips(data: Dataset, one: Run) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """Clip, frames and predictions of each sample clip of a run."""
    path = _path(data, one)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            # The clips after the first have their number in the names (etc.stages.evaluate).
            for suffix in ("", *map(str, range(1, len(arrays.files) // 3))):
                clip, frames = str(arrays[f"clip{suffix}"]), arrays[f"frames{suffix}"]
                yield clip, [int(frame) for frame in frames], arrays[f"predictions{suffix}"]
    except KeyError as error:
        raise UserError(
            f"{path}: holds no clip of several frames, and the report compares consistency; change 'split' in "
            f"params/evaluate.yaml, or take mIoU from README.md in {data.folder / one.folder}"
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {_again(data, one)}") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged ({first_line(error)}); {_again(data, one)}") from error


def _path(data: Dataset, one: Run) -> Path:
    return data.folder / "evaluation" / one.name / "sample.npz"


def _again(data: Dataset, one: Run) -> str:
    return f"run: etc evaluate {data.name} {one.options}"


def _rows(data: Dataset, clip: str, numbers: list[int]) -> list[dict[str, Any]]:
    """Rows of the manifest for some frames of a clip."""
    frames = data.frames
    records = {row["frame"]: row for row in frames[frames["clip"] == clip].to_dict("records")}
    missing = [number for number in numbers if number not in records]
    if missing:
        raise UserError(
            f"{data.manifest}: no frame {missing[0]} of clip '{clip}', which the evaluation holds; "
            "run the evaluate stage again"
        )
    return [records[number] for number in numbers]
