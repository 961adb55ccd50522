"""In a project folder, the code of that folder runs.

``dvc exp run --queue`` and ``--temp`` run stages in a copy of the project. There the command ``etc`` would import the
package that is installed, with an editable install the code of the original folder, while DVC records that of the copy.
"""

import os
import sys
from pathlib import Path

import etc.cli
from etc.core.errors import UserError


def use_own_code() -> None:
    """Start again with the package of the current folder if that is a project and the package came from elsewhere.

    Raises:
        UserError: that did not help before.
    """
    project = Path.cwd()
    wanted, running = project / "etc" / "cli.py", Path(etc.cli.__file__)
    if not (project / "dvc.yaml").is_file() or not wanted.is_file() or wanted.samefile(running):
        return
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if paths[0] == str(project):
        raise UserError(
            f"this folder has a package 'etc' of its own, but Python imports {running.parent}; "
            "run `python -m etc` with a Python that does not ignore PYTHONPATH"
        )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(project), *filter(None, paths)])
    os.execv(sys.executable, [sys.executable, "-m", "etc", *sys.argv[1:]])
