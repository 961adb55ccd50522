"""What is known of a data set that is to be adopted, from its block in params/frames.yaml alone."""

from dataclasses import dataclass
from pathlib import Path

from etc.adoption.networks import Networks
from etc.core.errors import UserError
from etc.dataset.label_sets import CITYSCAPES, STREET
from etc.params import frames
from etc.params.frames import SourceParams
from etc.sources import class_file
from etc.sources.camvid.classes import SEGNET
from etc.sources.folder.params import FolderParams
from etc.sources.registry import build
from etc.sources.street.params import StreetParams
from etc.sources.video.params import VideoParams

_FIXED = {"street": STREET, "camvid": SEGNET, "cityscapes": CITYSCAPES}


@dataclass(frozen=True)
class Newcomer:
    """What decides which values of the copied blocks change.

    Attributes:
        source: the key ``source`` of its block.
        labelled: training may use labels of it.
        spacing: training may use the label of every ``spacing``-th labelled frame.
        weighs: the copied class weights are for its classes.
        networks: trained networks that label its frames and that its students start from; None to train them.
    """

    source: str
    labelled: bool
    spacing: int
    weighs: bool
    networks: Networks | None


def is_labelled(settings: StreetParams | SourceParams) -> bool:
    """Whether training may use labels of a data set: videos have none, a folder may be without."""
    if isinstance(settings, FolderParams):
        return settings.labels is not None and settings.annotated > 0
    return not isinstance(settings, VideoParams)


def spacing(settings: StreetParams | SourceParams) -> int:
    """Training may use the label of every so manyth labelled frame: what a folder says, 1 elsewhere."""
    return max(1, settings.annotated) if isinstance(settings, FolderParams) else 1


def class_names(dataset: str, settings: StreetParams | SourceParams) -> tuple[str, ...]:
    """Names of the classes, position = train id; no frame is looked at.

    Args:
        dataset: name of the data set.
        settings: its block in params/frames.yaml.

    Raises:
        UserError: they stand in a file that is missing or wrong, or below a folder that is not found.
    """
    if settings.source in _FIXED:
        return _FIXED[settings.source].names
    in_file = settings.classes.lower().endswith(class_file.ENDINGS)
    try:
        root = build(dataset, settings).location.require(dataset) if in_file else Path()
        return class_file.load(settings.classes, root).names
    except UserError as error:
        raise UserError(f"{frames.PATH}: block '{dataset}': {error}") from error
