"""Clearing what a killed run leaves behind, so that the next one just starts.

After ``kill -9`` of Snakemake three things remain: its lock on the folder, its jobs (``dvc repro`` and the
stage commands live on and go on training), and, when those are killed as well, their entries in DVC's lock.

On a disk that several machines share, a process id says nothing about the processes of another one. So each job adds
its machine to what DVC writes into its lock, each run leaves the name of its machine, and Slurm is asked for its jobs.
"""

import json
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from etc.core.errors import UserError
from etc.core.files import atomic
from etc.pipeline import slurm

SNAKEMAKE_LOCKS = Path(".snakemake/locks")
SNAKEMAKE_INCOMPLETE = Path(".snakemake/incomplete")
# The machine of the Snakemake that has started last in this folder.
HOST = Path(".snakemake/host")
DVC_LOCK = Path(".dvc/tmp/lock")
DVC_LOCKS = Path(".dvc/tmp/rwlock")
POLL_SECONDS = 1.0
# So often Slurm, which serves many people, is asked.
SLURM_POLL_SECONDS = 10.0
READ_AGAIN_SECONDS = 0.02
_SIGNATURE = re.compile(r" \(on (\S+?)(?:, job (\S+) of Slurm)?\)$")


def tidy() -> None:
    """Prepare the project folder (the current one) for a run."""
    use_without_git()
    release_snakemake()
    wait_for_slurm()
    wait_for_others()
    with atomic(HOST, "w") as stream:
        stream.write(f"{socket.gethostname()}\n")


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

    Raises:
        UserError: it was started on another machine, whose processes cannot be seen from here.
    """
    left = [path for path in (SNAKEMAKE_LOCKS, SNAKEMAKE_INCOMPLETE) if path.exists() and any(path.iterdir())]
    if not left or _snakemake_runs_here():
        return
    host = HOST.read_text(encoding="utf-8").strip() if HOST.exists() else socket.gethostname()
    if SNAKEMAKE_LOCKS in left and host != socket.gethostname():
        raise UserError(
            f"{SNAKEMAKE_LOCKS}: a snakemake that was started on {host} works in this folder; wait for its end, or, "
            f"when it has been killed, delete {SNAKEMAKE_LOCKS} and run again"
        )
    for path in left:
        shutil.rmtree(path)
    if SNAKEMAKE_LOCKS in left:
        print("Removed the lock of a killed Snakemake run.", file=sys.stderr)


def wait_for_slurm() -> None:
    """Wait for the end of every job that a killed Snakemake has left in Slurm's queue or on its nodes."""
    waited_for: set[str] = set()
    while jobs := slurm.jobs_here():
        for number in jobs.keys() - waited_for:
            print(
                f"Waiting for job {number} of Slurm ({jobs[number]}) in this folder; `scancel {number}` to start over.",
                file=sys.stderr,
            )
        waited_for |= jobs.keys()
        time.sleep(SLURM_POLL_SECONDS)


def wait_for_others() -> None:
    """Wait for the end of every DVC process in this folder: jobs that a killed run has left, or another run.

    Starting their stages a second time would undo their work.

    Raises:
        UserError: one is on another machine, and no job of Slurm.
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
    for _, command in _stage_holders():
        if _elsewhere(command) and not _SIGNATURE.search(command)[2]:
            raise UserError(
                f"{DVC_LOCKS}: '{command}' works in this folder; wait for its end, or, when it has been killed, delete "
                f"{DVC_LOCKS} and run again"
            )
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
    """Processes other than this one that hold a lock of DVC here, their commands by their ids; not other machines'."""
    holders = {pid: command for pid, command in _stage_holders() + _project_holder() if pid != os.getpid()}
    return {pid: command for pid, command in holders.items() if not _elsewhere(command) and _lives(pid)}


def forget_ended(command: str) -> None:
    """Remove the entries of an earlier attempt of this job on another machine; call it under DVC's lock.

    Of a process on another machine DVC only asks whether its number is one here, too.

    Raises:
        UserError: Slurm still has that attempt.
    """
    entries = {one for _, one in _stage_holders() if one.startswith(f"{command} (") and _elsewhere(one)}
    if not entries:
        return
    jobs = slurm.jobs_here()
    for one in entries:
        if (job := _SIGNATURE.search(one)[2]) in jobs:
            raise UserError(f"'{one}' still runs; `scancel {job}` to start over")
    locks = _locks()
    write = {path: one for path, one in locks.get("write", {}).items() if one["cmd"] not in entries}
    read = {path: [one for one in many if one["cmd"] not in entries] for path, many in locks.get("read", {}).items()}
    with atomic(DVC_LOCKS, "w") as stream:
        json.dump({"write": write, "read": {path: many for path, many in read.items() if many}}, stream)


def signature() -> str:
    """What a job adds to the command that DVC writes into its lock."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"(on {socket.gethostname()}{f', job {job} of Slurm' if job else ''})"


def _elsewhere(command: str) -> bool:
    signed = _SIGNATURE.search(command)
    return signed is not None and signed[1] != socket.gethostname()


def _stage_holders() -> list[tuple[int, str]]:
    """Those that run or read stages; dead ones too."""
    locks = _locks()
    entries = [*locks.get("write", {}).values(), *(one for many in locks.get("read", {}).values() for one in many)]
    return [(one["pid"], one["cmd"]) for one in entries if one]


def _locks() -> dict[str, Any]:
    for _ in range(20):
        try:
            return json.loads(DVC_LOCKS.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError:
            # A DVC is writing it at this moment, or was killed while it did.
            time.sleep(READ_AGAIN_SECONDS)
    return {}


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
