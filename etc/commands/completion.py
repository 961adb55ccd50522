"""What the shell completes from params/ and data/ of the current folder; nothing where there is no project."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

FRAMES, STUDENT = Path("params/frames.yaml"), Path("params/student.yaml")


def datasets() -> Iterator[str]:
    """Data sets that have a block in params/frames.yaml."""
    from etc.core.params_file import blocks

    yield from _known(lambda: blocks(FRAMES))


def schemes(ctx: typer.Context) -> Iterator[str]:
    """Schemes of the data set on the command line, in params/student.yaml."""
    yield from _keys(ctx, "schemes")


def architectures(ctx: typer.Context) -> Iterator[str]:
    """Student networks of the data set on the command line, in params/student.yaml."""
    yield from _keys(ctx, "widths")


def runs() -> Iterator[str]:
    """Folders of trained networks below data/."""
    yield from sorted(path.parent.as_posix() for path in Path("data").glob("*/*/*/weights.safetensors"))


def _keys(ctx: typer.Context, key: str) -> Iterator[str]:
    from etc.core.params_file import load_key

    # Behind an option that has no value yet, arguments are not parsed.
    dataset = ctx.params.get("dataset") or next(iter(ctx.args), "")
    yield from _known(lambda: load_key(STUDENT, dataset, key))


def _known(read: Callable[[], Any]) -> list[str]:
    """Names that a file of params/ has; none where it is missing or wrong, which the command itself will say."""
    from etc.core.errors import UserError

    try:
        return [str(name) for name in read()]
    except (UserError, TypeError):
        return []
