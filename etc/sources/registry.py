"""The sources of frames by name."""

from etc.params.frames import SourceParams
from etc.sources.camvid.camvid import CamVid
from etc.sources.cityscapes.cityscapes import Cityscapes
from etc.sources.folder.folder import Folder
from etc.sources.source import Source
from etc.sources.video.video import Video

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
