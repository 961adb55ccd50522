"""Jobs that Slurm has of this folder, whichever node they are on: a process id says nothing there."""

import os
import re
import subprocess
import sys
from pathlib import Path

# What Snakemake's plugin writes into the comment of each job, before the name of its rule.
COMMENT = "rule_"
# Fields of squeue; a folder may hold any character, so it is last.
FORMAT = "%i|%T|%k|%Z"
PATIENCE_SECONDS = 60
# What Slurm and the shell have printed of each job that failed, in a folder for its rule.
LOGS = Path(".snakemake/slurm_logs")
_MEMORY = "was killed for memory: give the rule more `mem_mb` (set-resources of the profile)"
_TIME = "reached its time limit: give the rule more `runtime` (set-resources of the profile), or just run again"
_ENVIRONMENT = (
    "found no environment on its node: put it on a disk that all nodes share, or name others (slurm_partition)"
)
REASONS = {
    r"memory limit|oom.kill": _MEMORY,
    r"DUE TO TIME LIMIT": _TIME,
    r"python[\d.]*: (?:.*: )?(?:not found|No such file)|No module named '?snakemake": _ENVIRONMENT,
}


def jobs_here() -> dict[str, str]:
    """Snakemake's jobs in the current folder that wait or run, what they do by their ids; none where is no Slurm.

    The job that this process is part of is left out: Snakemake itself may run in one.
    """
    command = ["squeue", "--noheader", f"--format={FORMAT}"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in listed.stdout.splitlines():
        number, state, comment, folder = line.split("|", 3)
        if comment.startswith(COMMENT) and _same(folder) and number != os.environ.get("SLURM_JOB_ID"):
            found[number] = f"{comment.removeprefix(COMMENT)}, {state.lower()}"
    return found


def explain(since: float) -> None:
    """Say in one line each why jobs failed, where their logs tell.

    Args:
        since: seconds since 1970; logs that are older are of another run.
    """
    for log in sorted(LOGS.glob(f"{COMMENT}*/**/*.log")):
        if log.stat().st_mtime < since:
            continue
        text = log.read_text(encoding="utf-8", errors="replace")
        for pattern, reason in REASONS.items():
            if re.search(pattern, text, re.IGNORECASE):
                rule = log.relative_to(LOGS).parts[0].removeprefix(COMMENT)
                print(f"error: job {log.stem} of Slurm ({rule}) {reason}; {log}", file=sys.stderr)
                break


def _same(folder: str) -> bool:
    return Path(folder).resolve() == Path.cwd()
