"""The table of the sources of third-party frames."""

from etc.core.params_file import Params
from etc.sources.camvid.camvid import CamVid, CamVidParams
from etc.sources.cityscapes.cityscapes import Cityscapes, CityscapesParams
from etc.sources.folder.folder import Folder, FolderParams
from etc.sources.source import Source
from etc.sources.video.video import Video, VideoParams

# By the key 'source' of a block: the model of the block, and the class that lists the frames.
SOURCES: dict[str, tuple[type[Params], type[Source]]] = {
    "camvid": (CamVidParams, CamVid),
    "cityscapes": (CityscapesParams, Cityscapes),
    "folder": (FolderParams, Folder),
    "video": (VideoParams, Video),
}


def build(dataset: str, settings: Params) -> Source:
    """The source that a block of params/frames.yaml describes.

    Args:
        dataset: name of the data set.
        settings: its block, of one of the models of ``SOURCES``.
    """
    return SOURCES[settings.source][1](dataset, settings)
