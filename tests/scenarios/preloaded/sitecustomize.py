"""Python reads this when it starts with this folder on its path: the commands below are handed to ``server.py``.

Of the seconds that a stage takes at toy size, nearly all go into loading torch, and much of what the tools take into
loading themselves. The server has loaded it all already and runs the command in a fork of itself: with the arguments,
folder, environment and streams of this process.
"""

import json
import os
import sys
from pathlib import Path

ADDRESS = "ETC_PRELOADED"
COMMANDS = {"dvc", "etc", "snakemake"}
JOB = ["-m", "etc.pipeline.job"]


def _hand_over(address: str) -> None:
    request = {"argv": sys.orig_argv[1:], "cwd": str(Path.cwd()), "environment": dict(os.environ)}
    # Under another name: Snakemake looks for itself among the processes of the folder, and that is the fork now.
    client = Path(__file__).with_name("client.py")
    os.execv(sys.executable, [sys.executable, "-IS", str(client), address, json.dumps(request)])


first = sys.orig_argv[1:3]
if os.environ.get(ADDRESS) and first and (first == JOB or Path(first[0]).name in COMMANDS):
    _hand_over(os.environ[ADDRESS])
