"""A real Slurm of one node: munged, slurmctld and slurmd in a folder, for as long as a test needs them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

# Snakemake's plugin for Slurm. Every snakemake that finds it loads it, and some tests leave little on the PATH.
PLUGIN = Path(sys.prefix) / "slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
# Where the programs look by themselves: those inside of jobs are not told another place.
USUAL = Path("/etc/slurm/slurm.conf")
# Daemons lie in folders that are not on everybody's PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CONFIG = """\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """What a cluster needs and this machine lacks."""
    found = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    found += [] if PLUGIN.is_dir() else [f"Snakemake's plugin in {PLUGIN} (see .ci/run)"]
    return found or ["root"] * (os.geteuid() != 0) or ["no Slurm of the machine's own"] * os.path.lexists(USUAL)


@contextlib.contextmanager
def cluster(folder: Path, jobs: int) -> Iterator[dict[str, str]]:
    """A cluster that runs so many jobs at once; gives the environment variables that lead to it."""
    with FileLock("/tmp/etc-toy-slurm.lock"):
        yield from _cluster(folder, jobs)


def _cluster(folder: Path, jobs: int) -> Iterator[dict[str, str]]:
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname()
    key = folder / "key"
    key.write_bytes(os.urandom(256))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, host=host, ports=_free_ports(2), cpus=2 * jobs))
    USUAL.parent.mkdir(parents=True, exist_ok=True)
    USUAL.symlink_to(folder / "slurm.conf")
    variables = {"PATH": PATH}
    munge = ["--force", "--key-file", key, "--socket", folder / "munge", "--pid-file", folder / "munge.pid"]
    munge += ["--log-file", folder / "munge.log", "--seed-file", folder / "seed"]
    try:
        for command in (["munged", *munge], ["slurmctld", "-c"], ["slurmd"]):
            subprocess.run([shutil.which(command[0], path=PATH), *command[1:]], env=os.environ | variables, check=True)
        _wait_until_idle(os.environ | variables)
        yield variables
    finally:
        subprocess.run([shutil.which("scancel", path=PATH), "--user=root"], env=os.environ | variables)
        USUAL.unlink()
        for name in ("slurmd.pid", "slurmctld.pid", "munge.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((folder / name).read_text()), signal.SIGTERM)


def _wait_until_idle(environment: dict[str, str]) -> None:
    command = [shutil.which("sinfo", path=PATH), "--noheader", "--format=%T"]
    for _ in range(100):
        found = subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split()
        if found == ["idle"]:
            return
        time.sleep(0.2)
    raise AssertionError(f"the node of the toy cluster did not come up: {found}")


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
