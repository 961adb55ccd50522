"""The sources of frames by name."""

from etc.datasets.camvid.camvid import CamVid
from etc.datasets.cityscapes.cityscapes import Cityscapes
from etc.datasets.own.folder import Folder
from etc.datasets.own.video import Video
from etc.datasets.source import Source
from etc.params.frames import SourceParams

# By the key 'source' of a block; etc/params/frames.py has the same keys.
SOURCES: dict[str, type[Source]] = {
    "camvid": CamVid,
    "cityscapes": Cityscapes,
    "folder": Folder,
    "video": Video,
}


def build(dataset: str, settings: SourceParams) -> Source:
    """The source that a block of params/frames.yaml describes.

    Args:
        dataset: name of the data set.
        settings: its block.
    """
    return SOURCES[settings.source](dataset, settings)
