"""The true flow and visibility of generated clips, kept as one flow file a clip."""

import os
from pathlib import Path
from typing import Any

from etc.flow.store import FlowReader


class ExactFlow:
    """Reads what the data set brought along; it estimates nothing.

    Args:
        folder: holds ``<clip>.arrow``.
    """

    name = "exact"
    version = "1"

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        # The folder is no parameter: the same flow from another place is the same flow.
        self.parameters: dict[str, Any] = {}

    def clip(self, clip: str) -> FlowReader:
        """Reader of one clip's flow.

        Raises:
            UserError: there is no such clip, or its file is damaged.
        """
        return FlowReader(self.folder / f"{clip}.arrow")
