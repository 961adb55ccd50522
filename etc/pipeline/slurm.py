"""Jobs that Slurm has of this folder, whichever node they are on: a process id says nothing there."""

import os
import subprocess
from pathlib import Path

# What Snakemake's plugin writes into the comment of each job, before the name of its rule.
COMMENT = "rule_"
# Fields of squeue; a folder may hold any character, so it is last.
FORMAT = "%i|%T|%k|%Z"
PATIENCE_SECONDS = 60


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


def _same(folder: str) -> bool:
    return Path(folder).resolve() == Path.cwd()
