"""Clearing what a killed run leaves behind, so that the next one just starts.

After ``kill -9`` of Snakemake three things remain: its lock on the folder, its jobs (``dvc repro`` and the
stage commands live on and go on training), and, when those are killed as well, their entries in DVC's lock.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import psutil

SNAKEMAKE_LOCKS = Path(".snakemake/locks")
SNAKEMAKE_INCOMPLETE = Path(".snakemake/incomplete")
DVC_LOCK = Path(".dvc/tmp/lock")
DVC_LOCKS = Path(".dvc/tmp/rwlock")
POLL_SECONDS = 1.0
READ_AGAIN_SECONDS = 0.02


def tidy() -> None:
    """Prepare the project folder (the current one) for a run."""
    use_without_git()
    release_snakemake()
    wait_for_others()


def use_without_git() -> None:
    """Tell DVC that the project is no git repository, when it was unpacked from an archive."""
    from dvc.config import Config

    if Path(".git").exists():
        return
    config = Config(dvc_dir=str(Path(".dvc").resolve()))
    with config.edit("local") as local:
        local.setdefault("core", {})["no_scm"] = True


def release_snakemake() -> None:
    """Remove Snakemake's lock and its notes of unfinished jobs when no Snakemake works in this folder any more.

    DVC decides whether a job's outputs are complete: another tool may have finished them since.
    """
    left = [path for path in (SNAKEMAKE_LOCKS, SNAKEMAKE_INCOMPLETE) if path.exists() and any(path.iterdir())]
    if not left or _snakemake_runs_here():
        return
    for path in left:
        shutil.rmtree(path)
    if SNAKEMAKE_LOCKS in left:
        print("Removed the lock of a killed Snakemake run.", file=sys.stderr)


def wait_for_others() -> None:
    """Wait for the end of every DVC process in this folder: jobs that a killed run has left, or another run.

    Starting their stages a second time would undo their work.
    """
    waited_for: dict[int, str] = {}
    while True:
        new = {pid: command for pid, command in live_holders().items() if pid not in waited_for}
        for pid, command in new.items():
            print(f"Waiting for process {pid} ('{command}') in this folder; kill it to start over.", file=sys.stderr)
        waited_for |= new
        if not any(_lives(pid) for pid in waited_for):
            break
        time.sleep(POLL_SECONDS)
    # Dead entries are left, or half a file, with which DVC refuses to start. DVC drops dead entries by itself, unless a
    # zombie still has the process id.
    DVC_LOCKS.unlink(missing_ok=True)


def _snakemake_runs_here() -> bool:
    here, this = Path.cwd(), psutil.Process()
    family = {this.pid, *(parent.pid for parent in this.parents())}
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        if process.pid in family or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if not any(Path(word).name == "snakemake" for word in (process.info["cmdline"] or ())[:4]):
            continue
        try:
            if Path(process.cwd()) == here:
                return True
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return False


def live_holders() -> dict[int, str]:
    """Processes other than this one that hold a lock of DVC here, their commands by their ids."""
    holders = {pid: command for pid, command in _stage_holders() + _project_holder() if pid != os.getpid()}
    return {pid: command for pid, command in holders.items() if _lives(pid)}


def _stage_holders() -> list[tuple[int, str]]:
    """Those that run or read stages; dead ones too."""
    for _ in range(20):
        try:
            locks = json.loads(DVC_LOCKS.read_text(encoding="utf-8"))
            break
        except FileNotFoundError:
            return []
        except json.JSONDecodeError:
            # A DVC is writing it at this moment, or was killed while it did.
            time.sleep(READ_AGAIN_SECONDS)
    else:
        return []
    entries = [*locks.get("write", {}).values(), *(one for many in locks.get("read", {}).values() for one in many)]
    return [(one["pid"], one["cmd"]) for one in entries if one]


def _project_holder() -> list[tuple[int, str]]:
    """The one that holds the whole project, as DVC does between two stages; the file stays when it lets go."""
    try:
        pid = int(DVC_LOCK.read_text(encoding="utf-8"))
        process = psutil.Process(pid)
        if any(Path(file.path) == DVC_LOCK.absolute() for file in process.open_files()):
            return [(pid, " ".join(process.cmdline()))]
    except (FileNotFoundError, ValueError, psutil.Error):
        pass
    return []


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
