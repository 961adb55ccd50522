"""Running a command: a user's error is one line and exit status 1, never a traceback."""

import sys
from collections.abc import Callable

from etc.core.errors import UserError
from etc.core.files import os_errors_in_one_line


def run(action: Callable[[], None]) -> None:
    """Call ``action``; exit with 1 after a ``UserError`` and with 130 after Ctrl-C."""
    try:
        with os_errors_in_one_line():
            action()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        raise SystemExit(130) from None


def run_stage(action: Callable[[], str]) -> None:
    """Run one stage after checking all parameters, then print its closing line."""
    from etc.params.check import check_all
    from etc.pipeline import lockfile

    def checked() -> None:
        check_all()
        lockfile.start_guard()
        print(action())

    run(checked)
