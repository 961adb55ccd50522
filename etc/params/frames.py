"""``params/frames.yaml``: where the frames of each data set come from; each source has the model of its block."""

from functools import reduce
from operator import or_
from pathlib import Path

from etc.core.errors import UserError
from etc.core.params_file import DIRECTORY, Params, load_block, load_key
from etc.sources.camvid.params import CamVidParams
from etc.sources.registry import SOURCES
from etc.sources.street.params import StreetParams

PATH = DIRECTORY / "frames.yaml"

_THIRD_PARTY: dict[str, type[Params]] = {name: model for name, (model, _) in SOURCES.items()}
SourceParams = reduce(or_, _THIRD_PARTY.values())  # their union


def stated_size(settings: StreetParams | SourceParams) -> tuple[int | None, int | None]:
    """Height and width of the frames, pixels, as far as a block says; None where it does not."""
    if isinstance(settings, CamVidParams):
        return (360, 480) if settings.form == "segnet" else (720, 960)
    return getattr(settings, "height", None), getattr(settings, "width", None)


def load(dataset: str, path: Path = PATH) -> StreetParams | SourceParams:
    """Read and check the block of one data set.

    Raises:
        UserError: its block is missing or wrong, or names an unknown source.
    """
    models = {"street": StreetParams, **_THIRD_PARTY}
    source = load_key(path, dataset, "source")
    if source not in tuple(models):  # not in the dict itself: the value may be a list
        raise UserError(f"{path}: key '{dataset}.source' = {source!r}: no such source; use one of {', '.join(models)}")
    return load_block(path, dataset, models[source])
