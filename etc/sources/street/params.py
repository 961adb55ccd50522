"""Typed parameters of the embedded procedural street."""

from typing import Literal, Self

from pydantic import Field, model_validator

from etc.core.params_file import Params


class ClipCounts(Params):
    """Number of clips in each split."""

    train: int = Field(60, ge=1, le=99_999, description="clips to train on")
    dev: int = Field(24, ge=0, le=99_999, description="clips to tune on")
    test: int = Field(16, ge=0, le=99_999, description="clips to report on, used once at the end")


class Disturbance(Params):
    """Strengths of the camera's effects on a clean frame. Zero turns an effect off."""

    noise: float = Field(0.05, ge=0, le=0.5, description="standard deviation of the noise of a pixel, 1 = white")
    flicker: float = Field(0.15, ge=0, le=1, description="standard deviation of the log exposure of a frame")
    blur: float = Field(0.7, ge=0, le=5, description="largest standard deviation of a frame's Gaussian blur, pixels")
    tint: float = Field(
        0.03, ge=0, le=0.5, description="standard deviation of the log gain of a frame's colour channel"
    )


class StreetParams(Params):
    """The embedded procedural street."""

    source: Literal["street"] = Field("street", description="where the frames come from")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of the whole data set")
    height: int = Field(128, ge=32, le=1024, description="frame height, pixels")
    width: int = Field(256, ge=32, le=2048, description="frame width, pixels")
    clips: ClipCounts = Field(ClipCounts(), description="number of clips per split")
    frames_per_clip: int = Field(12, ge=2, le=300, description="frames in a clip")
    annotated: int = Field(6, ge=0, le=299, description="frame of each clip whose label training may use, from 0")
    max_offset: int = Field(3, ge=1, le=10, description="exact flow is stored to the frames t±1 … t±max_offset")
    edge_samples: int = Field(3, ge=1, le=16, description="rays in a pixel on the outline of an object")
    density: float = Field(1.0, ge=0, le=2, description="how many vehicles, people, poles and trees, 1 = usual")
    speed: float = Field(0.45, ge=0, le=2, description="mean speed of the camera, metres per frame")
    sway: float = Field(4.0, ge=0, le=20, description="largest turn of the camera to the left and right, degrees")
    disturbance: Disturbance = Field(Disturbance(), description="what the sensor does to a clean frame")

    @model_validator(mode="after")
    def _inside_the_clip(self) -> Self:
        if self.annotated >= self.frames_per_clip:
            raise ValueError(
                f"annotated is {self.annotated}, but a clip has only the frames 0 to {self.frames_per_clip - 1}"
            )
        if self.max_offset >= self.frames_per_clip:
            raise ValueError(
                f"max_offset is {self.max_offset}, it must be below frames_per_clip {self.frames_per_clip}"
            )
        return self
