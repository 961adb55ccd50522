"""What the stages beside the trainings cost here, measured on a few frames of the data set, in a temporary project.

``python -m etc.trial DATASET`` prints a line of JSON for each kind of work. ``etc plan`` runs it as a process of its
own, beside that of the trainings (``etc/duration.py``).
"""

import contextlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from etc.core.errors import UserError
from etc.core.files import write_json
from etc.dataset import location, manifest
from etc.dataset.dataset import Dataset
from etc.duration import clock, peak_memory
from etc.evaluation.tc import DEFAULT_PROTOCOL
from etc.inference import choose_device
from etc.judging import judge_clip
from etc.models import registry, weights
from etc.models.fused import fused
from etc.params import evaluate, experiment, flow, labeller, pseudo_labels, student, teacher
from etc.params import frames as frame_params
from etc.params.experiment import Network
from etc.params.training import NetworkParams
from etc.sources.check.inspection import inspect
from etc.sources.rows import listed_frames, manifest_rows
from etc.sources.source import Listing
from etc.sources.street import street
from etc.sources.street.params import StreetParams
from etc.stages import evaluate as evaluation
from etc.stages import flow as flow_stage
from etc.stages import frames as frame_stage
from etc.stages import pseudo_labels as pseudo_stage
from etc.stages import report as report_stage
from etc.training.dev import FLOW
from etc.workload import Found, counts, find

# Work is repeated for about so many seconds a kind; one frame or pair of each is always done.
SECONDS = 2.0
# Frames of the sample: so many of one clip of each split.
FRAMES = 12


def sample(frames: pd.DataFrame) -> pd.DataFrame:
    """The first frames of a clip of each split, one of those with the most frames."""
    parts = []
    for _, rows in frames.groupby("split"):
        sizes = rows.groupby("clip").size()
        parts.append(rows[rows["clip"] == sizes.idxmax()].head(FRAMES))
    return pd.concat(parts).sort_values(["clip", "frame"], ignore_index=True)


def measured(dataset: str) -> Iterator[dict[str, Any]]:
    """Records for the project in the current folder: ``name``, and what is known of ``seconds``, ``bytes``, ``memory``.

    Seconds (see :func:`etc.duration.clock`) and bytes are those of one frame, or one pair for ``flow PURPOSE``; for
    ``stage`` and ``light`` seconds of starting a stage with torch and one without, for ``dvc`` what DVC takes for a
    job, for ``report`` those of the stage. The first record holds ``counts``. What lacks a package or has no frames is
    left out.

    Raises:
        UserError: a parameter file is wrong, or the data set is not found.
    """
    found = find(dataset)
    yield {"name": "counts", "counts": counts(dataset, found.frames)}
    yield {"name": "dvc", "seconds": _of_process(["dvc", "repro", "--single-item", "--dry", "check@params"])}
    with _project(dataset) as folder, contextlib.chdir(folder):
        trial = Trial(dataset, found)
        yield trial.frames()
        for piece in (trial.flows, trial.networks, trial.pseudo_labels, trial.stages):
            with contextlib.suppress(UserError):
                yield from piece()


@contextlib.contextmanager
def _project(dataset: str) -> Iterator[Path]:
    """A folder in which stages find the code and parameters of this project, and make data of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in Path.cwd().iterdir():
            if path.name not in ("data", "work", "logs", "results", "params", ".dvc", ".git"):
                (folder / path.name).symlink_to(path)
        shutil.copytree("params", folder / "params")
        # Of the few frames all are labelled and judged.
        changes = {pseudo_labels: {"stride": 1}, evaluate: {"sample": {"share": 1.0, "seed": 0, "clips": None}}}
        for module, changed in changes.items():
            block = module.load(dataset).model_dump(mode="json") | changed
            (folder / module.PATH).write_text(yaml.safe_dump({dataset: block}), encoding="utf-8")
        yield folder


class Trial:
    """The kinds of work, one after the other, in the current folder.

    Args:
        dataset: its name.
        found: its frames.
    """

    def __init__(self, dataset: str, found: Found) -> None:
        self._name, self._found, self._data = dataset, found, Dataset(dataset)
        # Frames at the beginning of a clip whose pairs have flow, by purpose and clip.
        self._flow: dict[tuple[str, str], int] = {}

    def frames(self) -> dict[str, Any]:
        """Make the sample, or inspect its files."""
        data, settings = self._data, frame_params.load(self._name)
        start = time.process_time()
        if isinstance(settings, StreetParams):
            clips = settings.clips.model_copy(update={s: min(1, getattr(settings.clips, s)) for s in manifest.SPLITS})
            number = min(settings.frames_per_clip, FRAMES)
            small = settings.model_copy(update={"clips": clips, "frames_per_clip": number, "annotated": 0})
            rows = street.generate(small, data.root, data.manifest, 1, frame_stage.save_exact_flow, Path("work/clips"))
            record = _record("frames", time.process_time() - start, len(rows), _size(data.root))
        else:
            write_json(data.root / location.POINTER, {"root": str(self._found.place), "variables": [], "fetched": ""})
            few = Listing(listed_frames(sample(self._found.frames)), self._found.label_set)
            files = inspect(data.root, few.frames, few.label_set, Path("work/files"), 1, False, self._name)
            record = _record("frames", time.process_time() - start, len(few.frames))
            rows = manifest_rows(few, files, self._name, f"see `etc frames {self._name} --verify`")
        self._rows = rows.assign(annotated=False)
        self._write(self._rows)
        return record

    def flows(self) -> Iterator[dict[str, Any]]:
        """Pairs of the longest clip; then flow of as many frames of a clip of each other split, for what follows."""
        flows = flow.load(self._name)
        for purpose in type(flows).model_fields:
            settings = getattr(flows, purpose)
            clips = [rows for split in settings.splits if (rows := self._longest(split)) is not None and len(rows) > 1]
            if not clips:
                continue
            first, *others = sorted(clips, key=len, reverse=True)

            def some(number: int, rows: pd.DataFrame = first, settings=settings, purpose=purpose) -> int:
                clip = rows["clip"].iloc[0]
                path = self._data.folder / "flow" / purpose / f"{clip}.arrow"
                path.unlink(missing_ok=True)
                self._flow[purpose, clip] = min(number, len(rows))
                few = rows.head(number).to_dict("records")
                return flow_stage.compute_clip(flow_stage.Task(clip, self._data, few, settings, path))

            with contextlib.suppress(UserError):
                seconds, pairs = _rate(some, _clock(settings.device or "cpu", 1), 2, len(first))
                size = _size(self._data.folder / "flow" / purpose)
                for rows in others:
                    some(self._flow[purpose, first["clip"].iloc[0]], rows)
                yield _record(f"flow {purpose}", seconds, pairs, size)

    def networks(self) -> Iterator[dict[str, Any]]:
        """Judge untrained networks of all kinds, as the stage evaluate does and as trainings do on dev."""
        settings, students = evaluate.load(self._name), student.load(self._name)
        kinds = [labeller.load(self._name).network, teacher.load(self._name).network]
        kinds += map(students.network, experiment.load().architectures)
        device = choose_device(settings.device)
        torch.set_num_threads(settings.threads)
        now = _clock(settings.device, settings.threads)
        for network in {described(one): one for one in kinds}.values():
            built = fused(self._built(network).eval()).to(device, memory_format=torch.channels_last)
            for name, split, judges in (
                ("evaluate", settings.split, evaluation.JUDGES),
                ("dev", "dev", {FLOW: (DEFAULT_PROTOCOL,)}),
            ):
                rows, there = self._judged(split, judges)
                if rows is None:
                    continue

                def some(number: int, rows=rows, there=there, built=built) -> int:
                    few = rows.head(number).to_dict("records")
                    return len(judge_clip(built, self._data, few, settings.batch, there).frames)

                yield _record(f"{name} {described(network)}", *_rate(some, now, min(2, len(rows)), len(rows)))

    def pseudo_labels(self) -> Iterator[dict[str, Any]]:
        """The stage, with an untrained labeller."""
        settings, network = pseudo_labels.load(self._name), labeller.load(self._name).network
        names = self._found.label_set.names
        config = {**network.model_dump(), "classes": len(names), "class_names": list(names), "seed": 0}
        weights.save(self._data.folder / Network("labeller", 0).folder, self._built(network), config)
        train = self._rows[self._rows["split"] == "train"]

        def some(number: int) -> int:
            self._write(train.head(number))
            pseudo_stage.run(self._name, 0)
            return number

        seconds, number = _rate(some, _clock(settings.device, settings.threads), 1, len(train))
        yield _record("pseudo_labels", seconds, number, _size(self._data.folder / "pseudo_labels"))

    def stages(self) -> Iterator[dict[str, Any]]:
        """Whole processes of stages; the report, with the counts of one network under the names of all runs."""
        yield {"name": "light", "seconds": _of_process([sys.executable, "-m", "etc", "check"])}
        rows, _ = self._judged(evaluate.load(self._name).split, evaluation.JUDGES)
        if rows is None:
            return
        plan, labels = experiment.load(), Network("labeller", 0)
        self._write(rows.head(2))
        judge = ["etc", "evaluate", self._name, "--network", labels.kind, "--seed", "0"]
        yield {"name": "stage", "seconds": _of_process([sys.executable, "-m", *judge])}
        self._write(rows)
        evaluation.run(self._name, labels)
        made = self._data.folder / "evaluation" / labels.name
        history = pd.DataFrame({"step": range(1000)}).assign(**dict.fromkeys(report_stage.HISTORY[1:], 1.0))
        (self._data.folder / "history").mkdir(exist_ok=True)
        for one in (*plan.runs(), *plan.networks()):
            history.to_parquet(self._data.folder / "history" / f"{one.name}.parquet")
            _copied(made, one.name)
        for seed in plan.seeds:
            _copied(self._data.folder / "pseudo_labels/0", str(seed))
        start = time.process_time()
        report_stage.run(self._name)
        yield {"name": "report", "seconds": time.process_time() - start, "memory": peak_memory()}

    def _write(self, rows: pd.DataFrame) -> None:
        manifest.write(self._data.manifest, rows, self._found.label_set)

    def _built(self, network: NetworkParams) -> torch.nn.Module:
        return registry.build(network.architecture, self._found.label_set.count, network.width)

    def _longest(self, split: str) -> pd.DataFrame | None:
        """The sample's clip of a split with the most frames, the first of several; None without one."""
        clips = [rows for _, rows in self._rows[self._rows["split"] == split].groupby("clip")]
        return max(clips, key=len, default=None)

    def _judged(self, split: str, judges: Mapping[str, Any]) -> tuple[pd.DataFrame | None, dict[str, Any]]:
        """Frames of a split, those with flow where there are such, and the judges that have it."""
        rows = self._longest(split)
        if rows is None:
            return None, {}
        clip = rows["clip"].iloc[0]
        there = {judge: how for judge, how in judges.items() if (judge, clip) in self._flow}
        return rows.head(min((self._flow[judge, clip] for judge in there), default=len(rows))), there


def _copied(folder: Path, name: str) -> None:
    """A copy beside it, unless it has this name."""
    if folder.name != name:
        shutil.copytree(folder, folder.with_name(name))


def described(network: NetworkParams) -> str:
    """Architecture and width."""
    return f"{network.architecture} {network.width}"


def _clock(device: str, threads: int) -> Callable[[], float]:
    return clock("cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu", threads)


def _rate(some: Callable[[int], int], now: Callable[[], float], least: int, most: int) -> tuple[float, int]:
    """Seconds and units of a piece of work: ``least`` of it, and then more where that was quick."""
    number = least
    while True:
        start = now()
        units = some(number)
        seconds = now() - start
        if number == most or seconds > SECONDS / 2:
            return seconds, units
        number = min(most, max(number + 1, int(number * SECONDS / max(seconds, 1e-3))))


def _record(name: str, seconds: float, number: int, size: float = 0) -> dict[str, Any]:
    return {"name": name, "seconds": seconds / number, "bytes": size / number, "memory": peak_memory()}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _of_process(command: list[str]) -> float:
    """Processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise UserError(f"`{' '.join(command)}` failed: {done.stdout.strip().splitlines()[-1:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    for record in measured(sys.argv[1]):
        print(json.dumps(record), flush=True)
