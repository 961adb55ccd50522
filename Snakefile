# The experiment, a rule for each family of stages in dvc.yaml, which says what each runs, needs and makes.
# DVC says what is due, Snakemake runs it in parallel (docs/decisions/one-graph-two-tools.md).
import sys
import time

from snakemake.utils import min_version

from etc.core.errors import UserError
from etc.pipeline import slurm
from etc.pipeline.graph import COMMAND, prepare, recall

min_version("9.0")
START = time.time()

# A job of its own process (cluster executors) reads the graph but must not touch the verdict of the main process.
try:
    GRAPH = prepare() if workflow.is_main_process else recall()
except UserError as error:
    sys.exit(f"error: {error}")


# What `snakemake --report` begins with; the captions of pictures and tables lie beside it.
report: "workflow/report/workflow.rst"


# Jobs use the environment that Snakemake runs in. An image is read only with `--software-deployment-method apptainer`:
# that of Dockerfile or Dockerfile.cuda, under the name that `--config image=` gives (docs/gpus.md#containers).
container: config.get("image", "etc.sif")


for FAMILY in GRAPH.families:

    rule:
        name:
            FAMILY.rule
        input:
            FAMILY.needs,
        output:
            FAMILY.outputs,
        log:
            FAMILY.log,
        benchmark:
            FAMILY.benchmark
        wildcard_constraints:
            **FAMILY.wildcards,
        priority: FAMILY.priority
        threads: FAMILY.threads
        resources:
            **FAMILY.resources(int(config.get("gpus", 1))),
        params:
            stage=FAMILY.stage,
        message:
            FAMILY.message
        shell:
            COMMAND


onerror:
    slurm.explain(since=START)


rule all:
    default_target: True
    input:
        GRAPH.targets,
