"""A finished run as one file for archives: a Workflow Run RO-Crate (w3id.org/ro/wfrun/workflow/0.5).

It holds the definition of the workflow, the parameters, ``dvc.lock`` with the hash of every intermediate file, and the
results; networks and frames are in DVC's cache and remotes, under these hashes.
"""

import base64
import datetime
import json
import mimetypes
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from etc.core.errors import UserError, many
from etc.core.files import atomic
from etc.params import check, frames
from etc.pipeline import graph
from etc.sources.street.params import StreetParams

PROFILES = ("ro/wfrun/process/0.5", "ro/wfrun/workflow/0.5", "workflowhub/workflow-ro-crate/1.0")
LICENCE = "https://spdx.org/licenses/Apache-2.0"
# The definition of the workflow, and what else a run depends on.
WORKFLOW, PARTS = "Snakefile", ("dvc.yaml", "requirements.lock", "CITATION.cff", "README.md")
# Results that show frames; third-party frames may not be redistributed (.gitignore has the same list).
FRAMES_IN = ("plots/strip.png", "plots/overlay.webp", "index.html", "video")
JOBS = Path(".snakemake/metadata")
# What Python's table of kinds lacks, or has on some systems only.
KINDS = {".yaml": "application/yaml", ".webp": "image/webp", ".md": "text/markdown", ".cff": "application/yaml"}


def write(dataset: str, path: Path) -> str:
    """Write the crate of a data set's finished run; return the closing line.

    Args:
        dataset: one of those that params/experiment.yaml runs.
        path: the .zip to write.

    Raises:
        UserError: the data set does not run, or stages of it are due.
    """
    if dataset not in check.check_all().run:
        raise UserError(f"params/experiment.yaml: does not run '{dataset}'; run: etc adopt {dataset} --run")
    stages = graph.load()
    mine = [one for one in stages.stages.values() if one.name.partition("@")[2].partition("-")[0] == dataset]
    if due := [one.name for one in mine if one.due]:
        raise UserError(f"{many(len(due), 'stage is', 'stages are')} due, e.g. {due[0]}: run `make results` first")
    crate = _crate(dataset, [path for one in mine for path in one.outputs])
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # Its directory would be part of the crate, if that were written beside the results.
        made = Path(folder) / "crate.zip"
        crate.write_zip(made)
        with atomic(path) as stream:
            stream.write(made.read_bytes())
    return (
        f"{path}: {many(len(crate.data_entities), 'entry', 'entries')}, the run of {dataset} as a Workflow Run RO-Crate"
    )


def _crate(dataset: str, outputs: list[str]) -> ROCrate:
    about = yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))
    crate = ROCrate(version="1.1")
    crate.name = f"{about['title']}: results of {dataset}"
    crate.description = (
        f"Tables, plots and parameters of a run on the data set {dataset}. dvc.lock has the MD5 of every intermediate "
        "file, networks included."
    )
    crate.license = crate.add(ContextEntity(crate, LICENCE, {"@type": "CreativeWork", "name": "Apache-2.0"}))
    developers = crate.add(
        *(
            ContextEntity(crate, f"#author-{number}", {"@type": "Organization", "name": one["name"]})
            for number, one in enumerate(about["authors"])
        )
    )
    crate.root_dataset["author"] = developers
    profiles = [
        crate.add(
            ContextEntity(
                crate,
                f"https://w3id.org/{name}",
                {"@type": "CreativeWork", "name": name, "version": name.rpartition("/")[2]},
            )
        )
        for name in PROFILES
    ]
    crate.root_dataset["conformsTo"] = profiles
    workflow = crate.add_workflow(
        WORKFLOW,
        WORKFLOW,
        main=True,
        lang="snakemake",
        properties={"name": about["title"], "version": str(about["version"])},
    )
    workflow["license"], workflow["creator"] = crate.license, developers
    workflow["hasPart"] = [_file(crate, name) for name in PARTS if name.endswith((".yaml", ".lock"))]
    for name in PARTS:
        if not crate.dereference(name):
            _file(crate, name)
    crate.dereference("README.md")["about"] = crate.root_dataset
    given = [_file(crate, one.as_posix()) for one in sorted(Path("params").glob("*.yaml"))]
    made = [_file(crate, one.as_posix()) for one in results(dataset)] + [_file(crate, "dvc.lock")]
    properties: dict[str, Any] = {
        "name": f"Run of {dataset}",
        "description": "The stages of dvc.yaml, scheduled by Snakemake; DVC decides by content which of them are due.",
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    if times := _times(outputs):
        properties |= {"startTime": times[0], "endTime": times[1]}
    run = crate.add_action(workflow, f"#run-{dataset}", object=given, result=made, properties=properties)
    crate.root_dataset["mentions"] = run
    return crate


def results(dataset: str) -> Iterator[Path]:
    """The result files that may be given to others, sorted."""
    folder = Path("results") / dataset
    ours = isinstance(frames.load(dataset), StreetParams)
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.name.startswith(".")):
        name = path.relative_to(folder)
        if ours or not any(name.is_relative_to(one) for one in FRAMES_IN):
            yield path


def _file(crate: ROCrate, name: str) -> Any:
    path = Path(name)
    kind = KINDS.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return crate.add_file(name, name, properties={"name": path.name, "encodingFormat": kind})


def _times(outputs: list[str]) -> tuple[str, str] | None:
    """When the first job of these outputs began and the last ended, of those that Snakemake ran here; None if none."""
    jobs = []
    for name in outputs:
        record = JOBS / base64.b64encode(name.encode()).decode()
        if record.is_file():
            jobs.append(json.loads(record.read_text(encoding="utf-8")))
    ends = [(one["starttime"], one["endtime"]) for one in jobs if one.get("starttime") and one.get("endtime")]
    if not ends:
        return None
    moments = min(start for start, _ in ends), max(end for _, end in ends)
    first, last = (datetime.datetime.fromtimestamp(one, datetime.UTC).isoformat(timespec="seconds") for one in moments)
    return first, last
