"""Running a command: errors are one line and exit status 1, never a traceback."""

import sys
from collections.abc import Callable

from etc.core.errors import UserError
from etc.core.files import explained


def run(action: Callable[[], None]) -> None:
    """Call ``action``; exit with 1 after a ``UserError`` and with 130 after Ctrl-C."""
    try:
        with explained():
            action()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command to continue", file=sys.stderr)
        raise SystemExit(130) from None


def run_stage(action: Callable[[], str]) -> None:
    """Run one stage after checking all parameters, then print its closing line."""
    from etc.params.check import check_all

    def checked() -> None:
        check_all()
        print(action())

    run(checked)
