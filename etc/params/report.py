"""``params/report.yaml``: what the tables compare, and how the plots and pictures look."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from etc.core.errors import UserError
from etc.core.params_file import DIRECTORY, Params, load_block
from etc.params.experiment import Run

PATH = DIRECTORY / "report.yaml"


class Plots(Params):
    """Look of the plots."""

    dpi: int = Field(ge=50, le=300, description="dots per inch")
    smoothing: int = Field(ge=1, le=10_000, description="recorded steps that one point of a loss curve averages")


class Strip(Params):
    """The strip of consecutive frames."""

    frames: int = Field(ge=1, le=6, description="frames side by side")
    panel_width: int = Field(ge=64, le=320, description="width of one frame in pixels")


class Overlay(Params):
    """The animation of predictions laid over the frames."""

    frames: int = Field(ge=2, le=60, description="most frames shown")
    panel_width: int = Field(ge=64, le=512, description="width of one scheme's picture in pixels")
    opacity: float = Field(ge=0.0, le=1.0, description="share of the class colour; the rest is the frame")
    milliseconds: int = Field(ge=20, le=2000, description="time each frame is shown, milliseconds")
    quality: int = Field(ge=1, le=100, description="WebP quality")


class ReportParams(Params):
    """One data set's block."""

    baseline: str = Field(description="scheme that all others are compared with")
    compare: list[str] = Field(min_length=1, max_length=3, description="schemes shown beside the baseline in pictures")
    confidence: float = Field(
        ge=0.5, le=0.999, description="share of the experiments like this one whose intervals hold the true difference"
    )
    frequent_share: float = Field(
        ge=0, le=0.5, description="share of every run's predictions that lets a class count in 'TC frequent'"
    )
    plots: Plots
    strip: Strip
    overlay: Overlay

    def shown(self) -> list[str]:
        """Schemes in the pictures, from left to right or from top to bottom."""
        return [self.baseline, *self.compare]

    @field_validator("compare")
    @classmethod
    def _distinct(cls, compare: list[str], info: ValidationInfo) -> list[str]:
        shown = [info.data.get("baseline"), *compare]
        if len(set(shown)) != len(shown):
            raise ValueError("a scheme is named twice, here or as 'baseline'")
        return compare


def load(dataset: str, path: Path = PATH) -> ReportParams:
    """Read and check the block of one data set."""
    return load_block(path, dataset, ReportParams)


def check_declared(dataset: str, params: ReportParams, runs: list[Run]) -> None:
    """The schemes that the report names are trained.

    Raises:
        UserError: params/experiment.yaml declares no run of one of them.
    """
    declared = list(dict.fromkeys(run.scheme for run in runs))
    keys = ["baseline", *["compare"] * len(params.compare)]
    for key, scheme in zip(keys, params.shown(), strict=True):
        if scheme not in declared:
            known = ", ".join(declared)
            raise UserError(
                f"{PATH}: key '{dataset}.{key}' names '{scheme}', but params/experiment.yaml declares only {known}"
            )
