"""Running a command: errors are one line and exit status 1, never a traceback."""

import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etc.core.errors import UserError, first_line, visible
from etc.core.files import os_errors_in_one_line

LOGS = Path("logs")
# What output may hold besides printable characters: progress bars go back to the start of the line.
_LAYOUT = "\n\r\t"
_LEAST_ADDRESS_SPACE = 1500 << 20


class _Visible:
    """A stream on which the control characters of file names and values are seen, not obeyed by the terminal."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(visible(text, keep=_LAYOUT))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def reported(failure: int = 1) -> Iterator[None]:
    """End with one line and the exit status ``failure`` after any error, and with 130 after Ctrl-C.

    An unexpected error is one line as well; its traceback goes into a file.
    """
    try:
        with os_errors_in_one_line():
            yield
    except UserError as error:
        _fail(str(error), failure)
    except KeyboardInterrupt:
        print("interrupted; run the same command to continue", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever reads the output has seen enough, as `head` has; Click ends quietly then.
        raise
    except MemoryError as error:
        _fail(f"not enough memory: use a smaller batch, smaller frames or fewer workers ({_kept(error)})", failure)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or __package__).startswith("etc"):
            _fail(f"{error.name} is not installed: pip install 'etc-segmentation[pipeline]'", failure)
        _fail(f"unexpected {type(error).__name__}: {first_line(error)} ({_kept(error)})", failure)


def check_address_space() -> None:
    """Where the system limits addresses, there are enough: with fewer, PyArrow waits for ever and torch aborts.

    Raises:
        UserError: the limit is too low.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE:
        raise UserError(
            f"memory is limited to {limit >> 20} MB of addresses (`ulimit -v`); "
            f"allow at least {_LEAST_ADDRESS_SPACE >> 20} MB, for training more"
        )


def run(action: Callable[[], None], failure: int = 1) -> None:
    """Call ``action``; exit with ``failure`` after an error and with 130 after Ctrl-C."""
    shown = contextlib.redirect_stdout(_Visible(sys.stdout)), contextlib.redirect_stderr(_Visible(sys.stderr))
    with reported(failure), shown[0], shown[1]:
        action()


def run_stage(action: Callable[[], str]) -> None:
    """Run one stage after checking all parameters, then print its closing line."""
    from etc.params.check import check_all
    from etc.pipeline import lockfile

    def checked() -> None:
        check_all()
        lockfile.start_guard()
        print(action())

    run(checked)


def _fail(message: str, status: int) -> None:
    print(f"error: {visible(message)}", file=sys.stderr)
    raise SystemExit(status) from None


def _kept(error: BaseException) -> str:
    """Write the traceback into logs/ of a project, else into a temporary folder; say where it is."""
    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    text = "".join(traceback.format_exception(error))
    for folder in (lambda: LOGS if Path("dvc.yaml").is_file() else tempfile.gettempdir(), tempfile.gettempdir):
        with contextlib.suppress(OSError):
            path = Path(folder(), name)
            path.parent.mkdir(exist_ok=True)
            with path.open("x", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
            return f"traceback: {path}"
    return "its traceback could not be written anywhere"
