"""Logging in to cityscapes-dataset.com with the user's own account; it is neither kept nor shown."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import requests

from etc.core.errors import UserError
from etc.sources.cityscapes import sessions

SITE = "https://www.cityscapes-dataset.com"
USERNAME, PASSWORD = "CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"


def tool() -> ModuleType:
    """The downloader of cityscapesscripts.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("cityscapesscripts.download.downloader")
    except ImportError as error:
        raise UserError(f"Cityscapes is downloaded by its own tool ({error}): pip install cityscapesscripts") from error


def login() -> requests.Session:
    """Log in.

    The account is that of the environment variables CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD, else the one that
    csDownload has stored; else csDownload's own questions are asked, on a terminal.

    Raises:
        UserError: there is no account, or it is refused, or the site does not answer. A busy site is asked several
            times, with a pause before each further one; an account that it refuses is not.
    """
    downloader = tool()
    given = [name for name in (USERNAME, PASSWORD) if os.environ.get(name)]
    if len(given) == 1:
        raise UserError(f"{given[0]} is set without {USERNAME if given[0] == PASSWORD else PASSWORD}; set both or none")
    stored = _stored(downloader)
    if not given and not stored.is_file() and not sys.stdin.isatty():
        raise UserError(
            f"no Cityscapes account: run csDownload -l once and let it store yours, or set {USERNAME} and {PASSWORD}; "
            f"{SITE}/register gives one"
        )
    session, trouble = _try(downloader, bool(given), stored)
    # Not raised where the failure was caught: a chained error could quote what was sent.
    if session is None:
        raise UserError(trouble)
    return session


def _try(downloader: ModuleType, given: bool, stored: Path) -> tuple[requests.Session | None, str]:
    """A session, or what went wrong; nothing that a library says of a failed login is repeated."""
    try:
        return (_with_variables() if given else _with_tool(downloader)), ""
    except requests.RequestException as error:
        return None, f"{SITE}: cannot log in ({type(error).__name__}); see whether the site answers and try again"
    except OSError as error:
        return None, f"{stored}: cannot be read or written ({error.strerror}); change its permissions"
    except ValueError:
        return None, f"{stored}: not what csDownload stores there; delete it and run csDownload -l"
    except EOFError:
        return None, f"no account was typed in; run csDownload -l, or set {USERNAME} and {PASSWORD}"
    except Exception as error:
        # The tool has no exception of its own. It has then deleted what it had stored.
        if type(error) is not Exception:
            raise
        remedy = f"correct {USERNAME} and {PASSWORD}" if given else "run csDownload -l and type it in again"
        return None, f"{SITE}: the account is refused; {remedy}"


def _with_variables() -> requests.Session:
    """The steps of csDownload's login, which reads no variables."""
    session = sessions.patient()
    session.get(f"{SITE}/login", allow_redirects=False).raise_for_status()
    form = {"username": os.environ[USERNAME], "password": os.environ[PASSWORD], "submit": "Login"}
    answer = session.post(f"{SITE}/login", data=form, allow_redirects=False)
    answer.raise_for_status()
    if answer.status_code != requests.codes.found:
        raise Exception("Bad credentials.")  # as the tool does
    return session


def _with_tool(downloader: ModuleType) -> requests.Session:
    """csDownload's own login. It makes its session itself, so it is given a library that makes patient ones.

    Repeating the whole login instead would put its questions again.
    """
    library = downloader.requests
    downloader.requests = SimpleNamespace(**{**vars(library), "Session": sessions.patient})
    try:
        return downloader.login()
    finally:
        downloader.requests = library


def _stored(downloader: ModuleType) -> Path:
    """Where csDownload keeps the account that it was told to store."""
    return Path(downloader.appdirs.user_data_dir("cityscapesscripts", "cityscapes")) / "credentials.json"
