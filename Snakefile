# The experiment, one rule a step. What each step runs, needs and makes is written in dvc.yaml alone;
# DVC says what is due, Snakemake runs it in parallel (docs/decisions/one-graph-two-tools.md).
import sys

from snakemake.utils import min_version

from etc.core.errors import UserError
from etc.pipeline.graph import COMMAND, prepare, recall

min_version("9.0")

# A job of its own process (cluster executors) reads the graph but must not touch the verdict of the main process.
try:
    GRAPH = prepare() if workflow.is_main_process else recall()
except UserError as error:
    sys.exit(f"error: {error}")


# Jobs use the environment that Snakemake runs in. An image is read only with `--software-deployment-method apptainer`;
# it then needs the packages of requirements.lock.
container: "docker://python:3.11"


include: "workflow/rules/data.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/students.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        GRAPH.targets,
