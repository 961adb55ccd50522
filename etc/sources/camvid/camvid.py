"""CamVid as a source of frames: in the SegNet form or the original form, by the published split or one for video.

Only 0016E5_07959 to 08159 are close enough in time for optical flow, every second frame, at 15 Hz; all other stills are
one a second, so each is a clip of its own. With the original videos the frames beside the stills are cut, and all have
neighbours.
"""

from pathlib import Path

from etc.dataset.label_sets import LabelSet
from etc.dataset.location import Location, variable
from etc.sources.camvid import classes as camvid_classes
from etc.sources.camvid import fetch as camvid_fetch
from etc.sources.camvid import original as camvid_original
from etc.sources.camvid import segnet as camvid_segnet
from etc.sources.camvid.clips import to_frames
from etc.sources.camvid.neighbours import cut
from etc.sources.camvid.params import CamVidParams
from etc.sources.camvid.split import held_out, nearness, split_for_video
from etc.sources.source import Listing, Source


class CamVid(Source[CamVidParams]):
    """The CamVid data set."""

    terms = "CamVid (Brostow et al., 2009), published for research; ask its authors about any other use."

    @property
    def location(self) -> Location:
        """``root``, else ETC_ROOT_<DATA SET>, else what :meth:`fetch` got; for a ``root`` that is a .zip, its content.

        In the SegNet form ETC_ROOT_CAMVID serves data sets of other names too, so that one folder serves two splits.

        Raises:
            UserError: ``root`` is a .zip that does not exist.
        """
        if archive := camvid_fetch.user_archive(self.params.root):
            return Location(None, (), camvid_fetch.unpacked_name(archive), str(archive))
        own = variable(self.dataset)
        if self.params.form == "original":
            return Location(self.params.root, (own,))
        return Location(self.params.root, tuple(dict.fromkeys((own, variable("camvid")))), camvid_fetch.SEGNET)

    def fetch(self, agreed: bool) -> Path:
        """Unpack the .zip that ``root`` names, or download the SegNet form (some 180 MB).

        Raises:
            UserError: no agreement, no space, the download fails or holds something else; or it is the original form,
                which is not downloaded.
        """
        if archive := camvid_fetch.user_archive(self.params.root):
            return camvid_fetch.unpack_user_archive(archive)
        if self.params.form == "original":
            raise camvid_fetch.by_hand(self.location)
        return camvid_fetch.fetch_segnet(agreed)

    def list(self, root: Path, made: Path, workers: int) -> Listing:
        """All frames that the split uses.

        Raises:
            UserError: ``root`` does not hold the form, ``test_sequences`` names no recording of it or all, the parts of
                the video split are too short, or a video does not belong to the stills.
        """
        params = self.params
        if params.form == "segnet":
            stills, notes = camvid_segnet.find_stills(root)
        else:
            stills, notes = camvid_original.find_stills(root, workers)
        stills = held_out(stills, params.test_sequences)
        if params.split == "video":
            stills, more = split_for_video(stills, params)
            notes += more
        notes += nearness(stills)
        there = {}
        if params.videos:
            result = cut(
                stills, Path(params.videos).expanduser(), root, made, params.neighbours, params.first_frames, workers
            )
            there = result.numbers
            notes += result.notes
        clip_frames = params.clip_frames if params.split == "video" else None
        frames, gaps = to_frames(stills, params.neighbours, there, clip_frames)
        return Listing(frames, self._label_set(), tuple(notes), tuple(gaps))

    def _label_set(self) -> LabelSet:
        return camvid_classes.original(self.params.mapping) if self.params.mapping else camvid_classes.SEGNET
