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
DVC_LOCKS = Path(".dvc/tmp/rwlock")
POLL_SECONDS = 1.0


def tidy() -> None:
    """Prepare the project folder (the current one) for a run."""
    use_without_git()
    release_snakemake()
    wait_for_orphans()


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

    Whether a job's outputs are whole is for DVC to say: another tool may have finished them since.
    """
    left = [path for path in (SNAKEMAKE_LOCKS, SNAKEMAKE_INCOMPLETE) if path.exists() and any(path.iterdir())]
    if not left or _snakemake_runs_here():
        return
    for path in left:
        shutil.rmtree(path)
    if SNAKEMAKE_LOCKS in left:
        print("Removed the lock of a killed Snakemake run.", file=sys.stderr)


def wait_for_orphans() -> None:
    """Wait for stages that an earlier run has left running: starting them twice would undo their work."""
    named: set[int] = set()
    while holders := _live_holders():
        for pid, command in holders.items():
            if pid not in named:
                print(
                    f"Waiting for process {pid} of an earlier run ('{command}'); kill it to start over.",
                    file=sys.stderr,
                )
                named.add(pid)
        time.sleep(POLL_SECONDS)
    # Only dead entries are left. DVC drops those by itself, unless a zombie still has the process id.
    DVC_LOCKS.unlink(missing_ok=True)


def _snakemake_runs_here() -> bool:
    here, own = Path.cwd(), psutil.Process()
    family = {own.pid, *(parent.pid for parent in own.parents())}
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


def _live_holders() -> dict[int, str]:
    """Processes other than this one that hold DVC's stage locks, by their id. Dead ones DVC drops by itself."""
    try:
        locks = json.loads(DVC_LOCKS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError:
        # Killed while writing: a lock file that cannot be read names no holder, and DVC refuses to start with it.
        DVC_LOCKS.unlink(missing_ok=True)
        return {}
    entries = [*locks.get("write", {}).values(), *(one for many in locks.get("read", {}).values() for one in many)]
    return {one["pid"]: one["cmd"] for one in entries if one and one["pid"] != os.getpid() and _lives(one["pid"])}


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
