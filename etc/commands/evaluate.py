"""``etc evaluate``: judge a student, or what it has learned from."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from etc.commands.arguments import ARCHITECTURE, SCHEME, Dataset, Seed
from etc.commands.run import run_stage
from etc.core.errors import UserError

if TYPE_CHECKING:
    from etc.params.experiment import Network, Run

Kind = Annotated[
    Literal["labeller", "teacher"] | None, typer.Option(help="Judge this network of the chain, in place of a student.")
]


def evaluate(
    dataset: Dataset,
    seed: Seed,
    scheme: Annotated[str | None, SCHEME] = None,
    architecture: Annotated[str | None, ARCHITECTURE] = None,
    network: Kind = None,
) -> None:
    """Judge a network: mIoU, accuracy, consistency.

    Writes the counts for them, and sample predictions. The network is the student of --scheme and --architecture
    (pspnet18 where that is left out), or with --network the labeller or the teacher.
    """
    from etc.stages import evaluate as stage

    run_stage(lambda: stage.run(dataset, _judged(seed, scheme, architecture, network)))


def _judged(seed: int, scheme: str | None, architecture: str | None, network: str | None) -> "Run | Network":
    from etc.params.experiment import Network, Run

    if (network is None) == (scheme is None) or (network and architecture):
        raise UserError("name a student by --scheme (and --architecture), or another network by --network alone")
    return Network(network, seed) if network else Run(architecture or "pspnet18", scheme, seed)
