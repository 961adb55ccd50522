"""``etc verify``: what the chain has made here, beside what git has of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from etc.commands import completion
from etc.commands.run import run

# As `diff` has it: 0 equal, 1 different, 2 trouble.
DIFFERENT, TROUBLE = 1, 2
Datasets = Annotated[
    list[str] | None,
    typer.Argument(help="Data sets; by default all of params/experiment.yaml.", autocompletion=completion.datasets),
]
Against = Annotated[str, typer.Option(metavar="REVISION", help="Git revision whose dvc.lock and tables are compared.")]
Record = Annotated[
    bool, typer.Option("--record", help="Write results/DATASET/machine.json, to be committed with new results.")
]


def verify(datasets: Datasets = None, against: Against = "HEAD", record: Record = False) -> None:
    """Compare the finished chain with the committed one.

    Every stage, every number, and the machines. Says of each stage whether its outputs are the committed bytes, and
    which stage is the first that differs; then which numbers of the tables differ, and whether each difference between
    schemes is still in its committed interval. docs/reproducibility.md explains the output. Nothing is run or changed.

    Exits with 0 when all is equal, with 1 when something differs, and with 2 when it could not be compared.
    """
    run(lambda: _record(_named(datasets)) if record else _verify(_named(datasets), against), failure=TROUBLE)


def _named(datasets: Sequence[str] | None) -> list[str]:
    from etc.core.errors import UserError
    from etc.params import experiment

    declared = experiment.load().run
    for one in datasets or ():
        if one not in declared:
            raise UserError(f"{experiment.PATH}: 'run' has no data set '{one}', only {', '.join(declared)}")
    return list(dict.fromkeys(datasets or declared))


def _verify(datasets: list[str], revision: str) -> None:
    from etc.pipeline import committed
    from etc.verify import locks, machine, reading, tables, text

    commit = committed.commit(revision)
    old, new = reading.committed_lock(commit), reading.workspace_lock()
    verdicts = locks.compare(old, new, reading.wrong_on_disk(datasets))
    print(f"Stages of {', '.join(datasets)} beside dvc.lock of {revision} ({commit[:7]})\n\n{text.stages(verdicts)}")
    unfinished = {one.stage for one in verdicts if one.kind == "unfinished"}
    if foreign := reading.not_portable(new, [one.stage for one in verdicts if one.kind != "unfinished"]):
        print(f"\n{text.foreign(foreign)}")
    began = [one.stage for one in verdicts if one.kind in ("first", "changed")]
    here = machine.this_machine()
    for dataset in datasets:
        print()
        if f"report@{dataset}" in unfinished:
            print(f"Tables of {dataset}: not compared, they are not those of this chain.")
        else:
            pairs = reading.tables(commit, dataset)
            compared = [tables.compare(name, *pair) for name, pair in pairs.items()]
            print(f"Tables of {dataset}\n\n{text.tables(compared)}")
            if any(one.differing for one in compared):
                print(f"\n{text.findings(tables.differences(*pairs['schemes.csv']))}")
            # Without a stage, when results were committed that are not those of the committed dvc.lock.
            began = began or reading.stale(commit, new, dataset)
        print(f"\n{text.made_by(machine.compare(reading.committed_machine(commit, dataset), here))}")
    print()
    if unfinished:
        print("Not compared to the end: run `make results` before.")
        raise SystemExit(TROUBLE)
    if began:
        print(f"Different, beginning with {text.some(began)}.")
        raise SystemExit(DIFFERENT)
    print("Equal: every stage made the committed bytes.")


def _record(datasets: list[str]) -> None:
    from etc.core.errors import UserError
    from etc.core.files import write_json
    from etc.verify import machine, reading, text

    wrong = [stage for stage, lines in reading.wrong_on_disk(datasets).items() if lines]
    if wrong:
        raise UserError(f"{text.some(wrong)}: not run as they are; run `make results`, then record its machine")
    for dataset in datasets:
        path = Path("results") / dataset / machine.RECORD
        write_json(path, machine.this_machine())
        print(f"{path}: commit it together with the results")
