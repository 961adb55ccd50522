"""Typed parameters of a user's own videos as a source of frames."""

from typing import Annotated, Literal

from pydantic import Field

from etc.core.params_file import FromList, Params
from etc.sources.class_file import CLASSES
from etc.sources.splits import EIGHT_ONE_ONE, Splits


class VideoParams(Params):
    """Videos that the user has, cut into clips of frames; they have no labels."""

    source: Literal["video"] = Field("video", description="where the frames come from")
    root: str | None = Field(
        None, description="folder of the videos, subfolders included, or one video; null: ETC_ROOT_<DATA SET>"
    )
    files: Annotated[tuple[str, ...], FromList] = Field(
        ("*.mp4", "*.avi", "*.mov", "*.mkv", "*.webm", "*.m4v"),
        min_length=1,
        description="patterns of the videos' names, or of their paths below root; !pattern leaves out",
    )
    rate: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="frames a second that are kept, each the nearest to the regular time; null: every frame",
    )
    height: int | None = Field(
        None,
        ge=32,
        le=8192,
        multiple_of=8,
        description="frame height, pixels, a multiple of 8; the width follows, rounded to one; null: as they are",
    )
    clip_frames: int = Field(30, ge=2, le=1_000_000, description="frames in a clip; the last of a video may be shorter")
    skip: float = Field(0.0, ge=0, le=86_400, description="seconds left out after each clip; 0 = none")
    limit: int | None = Field(None, ge=1, le=1_000_000, description="most clips of a video, from its start; null: all")
    format: Literal["png", "jpg"] = Field("png", description="of the frames: png keeps every bit, jpg is smaller")
    quality: int = Field(95, ge=1, le=100, description="of jpg")
    classes: str = Field(min_length=1, description=CLASSES)
    split: Splits = Field(EIGHT_ONE_ONE, description="which clips make up each split")
