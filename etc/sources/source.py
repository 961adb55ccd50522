"""The interface of a source of frames. After ``data/<data set>/frames.parquet`` all data sets are alike.

A new source is one module, with a class derived from :class:`Source` and the model of its parameters, and a test. The
table ``SOURCES`` of etc/sources/registry.py names it: an import and an entry. docs/datasets.md shows all of it. The
module must import neither that table nor etc/params/frames.py, which import it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, TypeVar

from etc.core.errors import UserError
from etc.core.params_file import Params
from etc.dataset.label_sets import LabelSet
from etc.dataset.location import Location, variable

P = TypeVar("P", bound=Params)


class Frame(NamedTuple):
    """One frame as a source lists it.

    Attributes:
        clip: name of the clip. Frames of a clip follow each other in time at one step: where frames are missing, or too
            far apart for optical flow, a new clip begins.
        frame: its number in the recording, >= 0.
        split: train, dev or test.
        annotated: whether training may use the label.
        image, label: paths below the root, with '/'; label is empty where there is none.
    """

    clip: str
    frame: int
    split: str
    annotated: bool
    image: str
    label: str = ""


class Gap(NamedTuple):
    """Frames that are missing in a recording: one clip ends before them, and another begins after them.

    Attributes:
        clip: name of the clip that begins after the gap.
        frame: number of its first frame.
        after: number of the last frame before the gap.
        missing: how many frames are missing, >= 1.
    """

    clip: str
    frame: int
    after: int
    missing: int


@dataclass(frozen=True)
class Listing:
    """The content of a source.

    Attributes:
        frames: in any order.
        label_set: the classes, and how label files are read.
        notes: what the user should know, one line each: what was left out and why.
        gaps: where a recording was cut because frames are missing, not where its frames are far apart by design or it
            was cut on purpose; in any order. ``--verify`` shows them.
    """

    frames: list[Frame]
    label_set: LabelSet
    notes: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class Source(ABC, Generic[P]):
    """Third-party frames.

    Args:
        dataset: name of its block in params/frames.yaml.
        params: the block.
    """

    dataset: str
    params: P

    # Whose the frames are and what may be done with them, for the cards of networks trained on them.
    terms: ClassVar[str] = "The frames are those of whoever trained the network."

    @property
    def location(self) -> Location:
        """Where to look for its folder: ``root``, else ETC_ROOT_<DATA SET>."""
        return Location(self.params.root, (variable(self.dataset),))

    def fetch(self, agreed: bool) -> Path:
        """Download it, after it was not found, and return its folder. Without a download, as here, it always raises.

        Args:
            agreed: the user has agreed to the download; otherwise its size is printed and asked about.

        Raises:
            UserError: it cannot be downloaded, or not without an account; the message says what to do by hand.
        """
        raise UserError(
            f"data set '{self.dataset}': its files are your own, so there is nothing to download; "
            f"{self.location.remedies()}"
        )

    @abstractmethod
    def list(self, root: Path, made: Path, workers: int) -> Listing:
        """Find its frames; nothing below ``root`` is ever changed.

        Args:
            root: its folder.
            made: an empty folder for frames that the source must write, e.g. those cut from a video; paths below it
                count like paths below ``root``.
            workers: processes.

        Raises:
            UserError: the folder does not hold what the parameters name.
        """
