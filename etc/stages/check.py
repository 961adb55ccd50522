"""Stage ``check``: all parameter files, before a name in them reaches a command line or a path."""

from etc.params.check import check_all


def run() -> str:
    """Check all files of ``params/`` for all data sets in use; return the closing line.

    Raises:
        UserError: the first complaint; it names the file, the key, the value and what is allowed.
    """
    return f"params/ is in order; data sets: {', '.join(check_all().run)}"
