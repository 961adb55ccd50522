"""Colours for the classes of any network or folder of predictions."""

import colorsys
from collections.abc import Sequence

from etc.dataset.label_sets import LABEL_SETS, LabelSet
from etc.sources.camvid.classes import SEGNET

# An angle that does not divide the circle: neighbouring classes get different hues, however many there are.
_HUE = 0.618034


def label_set_of(names: Sequence[str], palette: Sequence[Sequence[int]] | None = None) -> LabelSet:
    """A label set of these classes with the colours given, else those of the bundled set of these classes, else
    colours as different as can be.

    Args:
        names: class names, position = train id.
        palette: red, green and blue of each, 0..255.
    """
    if palette is None:
        for one in (*LABEL_SETS.values(), SEGNET):
            if one.names == tuple(names):
                return one
        shades = [colorsys.hsv_to_rgb(_HUE * one % 1, 0.85 - 0.25 * (one % 2), 0.95) for one in range(len(names))]
        palette = [[round(255 * part) for part in shade] for shade in shades]
    palette = tuple(map(tuple, palette))
    return LabelSet("own", tuple(names), palette, tuple((one,) for one in range(len(names))))
