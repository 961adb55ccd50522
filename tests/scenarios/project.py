"""A throw-away copy of the whole pipeline at toy size, and what ran in it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).parents[2]
PRELOADED = Path(__file__).parent / "preloaded"
BIN = Path(sys.executable).parent
LEFT_OUT = {".git", ".venv", ".snakemake", "data", "work", "logs", "results", "dvc.lock"}

TOY = {
    "experiment.yaml": {
        "run": ["street"],
        "architectures": ["pspnet18"],
        "seeds": [0],
        "plain": ["tl"],
        "distilled": ["etc"],
        "ablation": {"schemes": ["sf"], "seeds": [0]},
    },
    "frames.yaml": {
        "street.height": 32,
        "street.width": 64,
        "street.clips": {"train": 2, "dev": 1, "test": 1},
        "street.frames_per_clip": 5,
        "street.annotated": 2,
    },
    "labeller.yaml": {"street.training.iterations": 2},
    "pretrain.yaml": {"street.training.iterations": 2},
    # After two iterations no network is confident, and nothing would be labelled.
    "pseudo_labels.yaml": {"street.scales": [1.0], "street.min_confidence": 0.0, "street.stride": 2},
    "teacher.yaml": {"street.training.iterations": 2},
    "student.yaml": {
        "street.training.iterations": 8,
        "street.training.machine.checkpoint_every": 1,
        # So that what comes of the pseudo-labels reaches all students.
        "street.sampling.pseudo_share": 0.5,
        "street.schemes.sf": {"sf": 1.0},
        "street.schemes.tl": {"tl": 3.0},
        "street.iterations_factor": {"tl": 4.0},
    },
    "report.yaml": {"street.baseline": "tl", "street.overlay.frames": 2},
}
CHECK = {"check@params"}
TRAINED = ("labeller.yaml", "pretrain.yaml", "teacher.yaml", "student.yaml")


@dataclass
class Result:
    """What a command printed and which stages it ran."""

    code: int
    text: str

    @property
    def ran(self) -> set[str]:
        """Names of the stages whose commands ran, but for the check that any change of params/ calls for."""
        return set(re.findall(r"Running stage '([^']+)'", self.text)) - CHECK

    @property
    def restored(self) -> set[str]:
        """Names of the stages whose outputs came from the cache."""
        return set(re.findall(r"Stage '([^']+)' is cached", self.text))


@dataclass
class Project:
    """A project folder of its own.

    Attributes:
        folder: where it is.
        server: address of a server that runs its commands (see ``preloaded``); empty: each is a new process.
        packages: a folder of packages that the environment of the tests does not have.
    """

    folder: Path
    server: str = ""
    packages: Path | None = None

    @classmethod
    def toy(cls, folder: Path, server: str = "", changes: dict[str, dict[str, Any]] = TOY) -> "Project":
        """Copy the code and shrink the parameters; nothing has run yet."""
        shutil.copytree(ROOT, folder, ignore=_ignored)
        for name in ("data", "results"):
            (folder / name).mkdir(exist_ok=True)
        project = cls(folder, server)
        for name, values in changes.items():
            for key, value in values.items():
                project.change(name, key, value)
        for name in TRAINED:
            project.shrink_training(name)
        git = "git -c user.name=test -c user.email=test@localhost -c init.defaultBranch=main"
        project.run(f"git init -q . && git add -A && {git} commit -qm start")
        return project

    def copy(self, folder: Path) -> "Project":
        """A copy with everything that has been made; dates are kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder)

    def shrink_training(self, name: str) -> None:
        """Small crops, and the narrowest networks that train everywhere: below 8 channels oneDNN fails on some CPUs."""
        self.change(name, "street.training.augment.crop", [32, 32])
        self.change(name, "street.training.batch", 2)
        self.change(name, "street.training.warmup", 0)
        if name == "student.yaml":
            self.change(name, "street.widths.pspnet18", 8)
        elif name != "pretrain.yaml":
            self.change(name, "street.network.width", 8)

    def run(self, command: str, check: bool = True, timeout: float = 1800) -> Result:
        """Run a shell command in the project with its own code."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"`{command}` failed with {done.returncode}:\n{done.stdout[-6000:]}")
        return Result(done.returncode, done.stdout)

    def snakemake(self, arguments: str = "", check: bool = True) -> Result:
        """Run `snakemake --cores 2`."""
        return self.run(f"snakemake --cores 2 {arguments}", check)

    def repro(self, arguments: str = "", check: bool = True) -> Result:
        """Run `dvc repro`."""
        return self.run(f"dvc repro {arguments}", check)

    def tool(self, name: str) -> Result:
        """Run the whole pipeline with one of the tools."""
        return self.snakemake() if name == "snakemake" else self.repro()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this Python, but with the code of this copy."""
        modules = [str(one) for one in (self.server and PRELOADED, self.folder, self.packages) if one]
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(modules),
            "ETC_PRELOADED": self.server,
        }

    def change(self, name: str, key: str, value) -> None:
        """Change one key of a file in params/."""
        path = self.folder / "params" / name
        content = yaml.safe_load(path.read_text())
        inner = content
        *parents, last = key.split(".")
        for parent in parents:
            inner = inner[parent]
        assert last in inner, f"{name} has no key {key}"
        inner[last] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def edit(self, path: str, old: str, new: str) -> None:
        """Change the text of a file."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new, 1))

    def due_by_dvc(self) -> set[str]:
        """Stages that DVC calls changed, without running them."""
        return set(json.loads(self.run("dvc status --json").text.splitlines()[-1])) - CHECK

    def due_by_snakemake(self) -> set[str]:
        """Stages that Snakemake would start, without running them."""
        return set(re.findall(r"etc\.pipeline\.job '?([^' ]+)'?", self.run("snakemake -n -p --cores 2").text)) - CHECK

    def contents(self, folder: str = "data") -> dict[str, bytes]:
        """Every file that stages declare; measured times are beside them."""
        root = self.folder / folder
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
            and path.name not in ("timing.json", ".gitkeep", ".gitignore", ".snakemake_timestamp")
            and path.parent.name != "timing"
        }

    def assert_settled(self) -> None:
        """Both tools have nothing to do."""
        again = self.run("dvc status && dvc repro")
        assert again.text.count("Data and pipelines are up to date") == 2, again.text
        idle = self.snakemake()
        assert not idle.ran and "Nothing to be done" in idle.text, idle.text

    def start(self, command: str, output: str = "started.log") -> subprocess.Popen:
        """Start a command in a process group of its own; what it prints goes to the file ``output`` in work/.

        It and what it starts are real processes, as users have them, whatever runs the other commands.
        """
        with (self.folder / "work" / output).open("w") as stream:
            return subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=replace(self, server="").environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def printed(self, output: str = "started.log") -> str:
        """What a started command has printed so far."""
        return (self.folder / "work" / output).read_text()


def kill_group(process: subprocess.Popen) -> None:
    """SIGKILL a command and all that it has started."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    # The system takes a moment to forget them, and DVC takes a process that still has an id for a living one.
    wait_for(lambda: not any(one.is_running() for one in family))


def wait_for(condition, seconds: float = 600.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _ignored(folder: str, names: list[str]) -> set[str]:
    at_root = Path(folder) == ROOT
    caches = {name for name in names if name in ("__pycache__", ".pytest_cache", ".hypothesis", ".ruff_cache")}
    dvc = {"cache", "tmp", "config.local"} & set(names) if Path(folder) == ROOT / ".dvc" else set()
    return caches | dvc | {name for name in names if at_root and (name in LEFT_OUT or name.endswith(".egg-info"))}
