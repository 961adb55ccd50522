"""How long a vector stored flow can hold: its components are int16 numbers of steps."""

import math

LIMIT = 32767


def holds(step: float, side: int) -> bool:
    """Whether flow in steps of ``step`` pixels holds every vector that ends inside a frame with this longer side."""
    return LIMIT * step > side - 0.5


def most_steps(side: int) -> int:
    """The largest whole number of steps per pixel at which flow of frames with this longer side can be stored."""
    return math.ceil(LIMIT / (side - 0.5)) - 1
