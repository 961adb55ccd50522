"""Free space, asked for before a long job instead of after it."""

import shutil
from pathlib import Path

from etc.core.errors import UserError
from etc.downloading.meter import volume


def ensure_space(path: Path, count: int) -> None:
    """See that ``count`` more bytes fit beside ``path``, in a folder that exists.

    Raises:
        UserError: they do not.
    """
    free = shutil.disk_usage(path.parent).free
    if count > free:
        raise UserError(
            f"{path}: needs {volume(count)}, {volume(free)} are free: free some space and run again, "
            "or use a folder on another disk"
        )
