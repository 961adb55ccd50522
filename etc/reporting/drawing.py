"""What the report's figures have in common: style, colours of the schemes, and how a figure becomes bytes.

Equal tables give equal bytes: matplotlib's own defaults and bundled font apply whatever the user's settings, and no
time is written.
"""

import io
from collections.abc import Callable, Iterable
from functools import wraps

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart. Grey replaces their yellow, unreadable on white;
# Paul Tol's wine and olive are added because the shipped experiment has ten schemes, and one more is welcome.
COLOURS = (
    *("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#808080", "#882255", "#999933"),
    "#332288",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
LINES = ("-", "--", "-.", ":")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def png(figure: Figure, dpi: int, **metadata: str) -> bytes:
    """The figure as PNG bytes, with the given metadata and none that changes from run to run."""
    with style.context(["default", STYLE]), io.BytesIO() as stream:
        figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None, **metadata})
        return stream.getvalue()


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the style of the report, whatever the user's settings."""

    @wraps(draw)
    def inside(*args, **kwargs) -> Figure:
        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return inside


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def looks_of(schemes: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line of each scheme, by its place."""
    return {
        scheme: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], LINES[i // len(COLOURS) % len(LINES)])
        for i, scheme in enumerate(schemes)
    }
