"""One stage as Snakemake runs it: ``dvc repro --single-item`` with a short hold of DVC's lock.

    python -m etc.pipeline.job STAGE

DVC holds its lock, for which all other jobs wait, while it reads all stages and while it writes dvc.lock anew, which
takes longer with each stage. This reads before it takes the lock, and writes only the lines of its own stage
(``docs/decisions/short-lock.md``). What is due, what is restored, what is run and what is written are DVC's.
"""

import os
import sys
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import _reproduce
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_lockfile
from dvc.ui import ui
from dvc.utils.serialize import YAMLError, dumps_yaml

from etc.core.errors import UserError
from etc.core.files import os_errors_in_one_line
from etc.pipeline import lockfile, recovery


def main(name: str) -> int:
    """Run a stage when it is due; gives the exit code."""
    ui.enable()
    # DVC writes this beside its locks, for those who wait for them.
    own = f"dvc repro --single-item {name}"
    sys.argv = [own, recovery.signature()]
    try:
        with os_errors_in_one_line():
            repo = Repo(os.curdir, _wait_for_lock=True)
            stage = _load(repo, name)
            with lock_repo(repo), repo.scm_context(quiet=True):
                recovery.forget_ended(own)
                _reproduce([stage], repro_fn=_reproduce_stage)
    except KeyboardInterrupt:
        print("ERROR: interrupted by the user", file=sys.stderr)
        return 1
    except (DvcException, UserError) as error:
        print(f"ERROR: {_in_one_line(error)}", file=sys.stderr)
        if _killed(error):
            print(
                f"error: {name} was killed; when its memory was too small: more `mem_mb` for rule {stage.meta['rule']} "
                "(set-resources of the profile), and a training takes less with more `machine.accumulate`",
                file=sys.stderr,
            )
        return 1
    return 0


def _in_one_line(error: BaseException) -> str:
    return f"{error}: {_in_one_line(error.__cause__)}" if error.__cause__ else str(error)


def _killed(error: BaseException) -> bool:
    """Whether the command ended by SIGKILL, in itself or in a shell."""
    return _in_one_line(error).endswith((" exited with -9", " exited with 137"))


def _load(repo: Repo, name: str) -> PipelineStage:
    try:
        return repo.stage.load_one(name=name)
    except YAMLError:
        # Another DVC is writing dvc.lock at this moment.
        with lock_repo(repo):
            return repo.stage.load_one(name=name)


def _reproduce_stage(stage: PipelineStage, upstream: list[Any], **options: Any) -> PipelineStage | None:
    done = stage.reproduce(upstream=upstream, **options)
    if done and not lockfile.record(dumps_yaml({"stages": to_lockfile(stage)})):
        stage.dump(update_pipeline=False)
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
