"""The objects of the procedural street, built from simple shapes.

Every function returns a list of parts in the object's own frame: origin on the ground, y up, z ahead, metres.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from etc.sources.street.shapes import blob, box, prism, turned, wheel

Colour = tuple[float, float, float]


class LabelId(IntEnum):
    """Cityscapes label ids used here (cityscapesscripts/helpers/labels.py)."""

    ROAD = 7
    SIDEWALK = 8
    BUILDING = 11
    FENCE = 13
    POLE = 17
    TRAFFIC_LIGHT = 19
    TRAFFIC_SIGN = 20
    VEGETATION = 21
    TERRAIN = 22
    SKY = 23
    PERSON = 24
    RIDER = 25
    CAR = 26
    TRUCK = 27
    BUS = 28
    BICYCLE = 33


class Material(IntEnum):
    """How a surface is painted; see textures.py."""

    PLAIN = 0
    ASPHALT = 1
    SLABS = 2
    FACADE = 3
    LEAVES = 4
    PLANKS = 5


class Part(NamedTuple):
    """Triangles (N, 3, 3) of one class and one material; ``pattern`` is two sizes in metres that the material reads."""

    triangles: np.ndarray
    source: LabelId
    material: Material
    colour: Colour
    pattern: tuple[float, float] = (1.0, 1.0)


GLASS = (0.10, 0.13, 0.17)
RUBBER = (0.04, 0.04, 0.045)
STEEL = (0.36, 0.38, 0.40)
VEHICLE_PAINTS = (
    (0.75, 0.76, 0.78),
    (0.55, 0.57, 0.60),
    (0.12, 0.12, 0.14),
    (0.60, 0.08, 0.08),
    (0.10, 0.20, 0.45),
    (0.85, 0.85, 0.83),
    (0.20, 0.33, 0.27),
    (0.70, 0.55, 0.20),
)
CARGO_PAINTS = ((0.85, 0.85, 0.83), (0.75, 0.45, 0.12), (0.20, 0.35, 0.60), (0.55, 0.60, 0.62), (0.65, 0.12, 0.10))
CLOTHES = (
    (0.65, 0.12, 0.12),
    (0.12, 0.18, 0.42),
    (0.70, 0.62, 0.20),
    (0.12, 0.13, 0.15),
    (0.72, 0.70, 0.68),
    (0.18, 0.42, 0.35),
    (0.50, 0.25, 0.45),
)
SKINS = ((0.80, 0.60, 0.48), (0.62, 0.43, 0.32), (0.38, 0.25, 0.18))
WALLS = (
    (0.62, 0.55, 0.46),
    (0.55, 0.33, 0.26),
    (0.66, 0.62, 0.55),
    (0.48, 0.47, 0.46),
    (0.70, 0.60, 0.40),
    (0.42, 0.36, 0.33),
    (0.58, 0.60, 0.60),
)
SIGN_PAINTS = ((0.80, 0.08, 0.08), (0.08, 0.22, 0.70), (0.88, 0.72, 0.08))


def pick(rng: np.random.Generator, choices: tuple[Colour, ...], spread: float = 0.06) -> Colour:
    """One of the colours, a little lighter or darker."""
    colour = np.asarray(choices[rng.integers(len(choices))]) * (1 + rng.uniform(-spread, spread))
    return tuple(float(value) for value in np.clip(colour, 0, 1))


def _wheels(source: LabelId, radius: float, track: float, axles: tuple[float, ...]) -> Part:
    wheels = [wheel(radius, 0.25, (side * track / 2, radius, z)) for z in axles for side in (-1, 1)]
    return Part(np.concatenate(wheels), source, Material.PLAIN, RUBBER)


def _lights(source: LabelId, width: float, front: float, back: float, height: float) -> list[Part]:
    ends = ((front, (0.95, 0.93, 0.80)), (back, (0.75, 0.05, 0.04)))
    return [
        Part(
            np.concatenate([box((0.34, 0.18, 0.06), (side * (width / 2 - 0.28), height, z)) for side in (-1, 1)]),
            source,
            Material.PLAIN,
            colour,
        )
        for z, colour in ends
    ]


def car(rng: np.random.Generator) -> list[Part]:
    """A saloon or an estate, about 4.3 m long."""
    length, width = rng.uniform(4.0, 4.6), rng.uniform(1.75, 1.9)
    belt, roof = rng.uniform(0.85, 0.98), rng.uniform(1.4, 1.62)
    front, back = length / 2, -length / 2
    tail = rng.choice([0.15, 0.75])  # an estate's roof reaches further back than a saloon's
    hull = [(back, 0.32), (back, belt - 0.08), (back + 0.15, belt), (0.95, belt), (front - 0.1, belt - 0.2)]
    hull += [(front, 0.6), (front - 0.05, 0.3)]
    glass = [(back + tail, belt), (back + tail + 0.4, roof - 0.06), (0.25, roof - 0.06), (1.05, belt)]
    top = [(back + tail + 0.36, roof - 0.1), (back + tail + 0.45, roof), (0.2, roof), (0.32, roof - 0.1)]
    paint = pick(rng, VEHICLE_PAINTS)
    return [
        Part(prism(np.array(hull), width), LabelId.CAR, Material.PLAIN, paint),
        Part(prism(np.array(glass), width - 0.22), LabelId.CAR, Material.PLAIN, GLASS),
        Part(prism(np.array(top), width - 0.18), LabelId.CAR, Material.PLAIN, paint),
        _wheels(LabelId.CAR, 0.34, width - 0.12, (back + 0.8, front - 0.85)),
        *_lights(LabelId.CAR, width, front, back, belt - 0.22),
    ]


def lorry(rng: np.random.Generator) -> list[Part]:
    """A lorry with a cab in front of a box, about 8 m long."""
    length, width, height = rng.uniform(7, 9), 2.5, rng.uniform(3.1, 3.7)
    front, back, cab = length / 2, -length / 2, rng.uniform(2.4, 2.9)
    return [
        Part(
            box((width, height - 0.95, length - 2.2), (0, (height + 0.95) / 2, -1.1)),
            LabelId.TRUCK,
            Material.PLANKS,
            pick(rng, CARGO_PAINTS),
            (1.2, 0.06),
        ),
        Part(
            box((2.3, cab - 0.5, 1.9), (0, (cab + 0.5) / 2, front - 0.95)),
            LabelId.TRUCK,
            Material.PLAIN,
            pick(rng, VEHICLE_PAINTS),
        ),
        Part(box((2.34, 0.8, 1.4), (0, cab - 0.55, front - 0.68)), LabelId.TRUCK, Material.PLAIN, GLASS),
        Part(box((2.0, 0.35, length - 0.4), (0, 0.75, 0)), LabelId.TRUCK, Material.PLAIN, (0.12, 0.12, 0.12)),
        _wheels(LabelId.TRUCK, 0.5, 2.3, (back + 1.2, back + 2.3, front - 1.2)),
        *_lights(LabelId.TRUCK, width, front, back, 0.85),
    ]


def bus(rng: np.random.Generator) -> list[Part]:
    """A city bus, about 11 m long; one class with the lorry."""
    length, width, height = rng.uniform(10, 12), 2.55, rng.uniform(3.0, 3.3)
    front, back = length / 2, -length / 2
    return [
        Part(
            box((width, height - 0.35, length), (0, (height + 0.35) / 2, 0)),
            LabelId.BUS,
            Material.PLAIN,
            pick(rng, CARGO_PAINTS),
        ),
        Part(box((width + 0.06, 1.0, length - 0.6), (0, 2.0, 0)), LabelId.BUS, Material.PLAIN, GLASS),
        Part(box((width - 0.3, 1.3, length + 0.06), (0, 1.95, 0)), LabelId.BUS, Material.PLAIN, GLASS),
        _wheels(LabelId.BUS, 0.5, 2.4, (back + 2.4, front - 2.4)),
        *_lights(LabelId.BUS, width, front + 0.02, back - 0.02, 0.75),
    ]


def _upper_body(rng: np.random.Generator, source: LabelId, hip: float, height: float) -> list[Part]:
    chest = height - hip - 0.28
    coat = pick(rng, CLOTHES)
    arms = [box((0.15, chest * 0.9, 0.2), (side * 0.35, hip + chest * 0.52, 0.02)) for side in (-1, 1)]
    return [
        Part(box((0.54, chest, 0.34), (0, hip + chest / 2, 0)), source, Material.PLAIN, coat),
        Part(np.concatenate(arms), source, Material.PLAIN, tuple(0.85 * value for value in coat)),
        Part(blob((0.15, 0.17, 0.16), (0, height - 0.14, 0), rng, 0.0), source, Material.PLAIN, pick(rng, SKINS)),
    ]


def person(rng: np.random.Generator) -> tuple[list[Part], list[Part], float]:
    """A pedestrian: the body, one leg (hanging down from the origin) and the height of the hip in metres."""
    height = rng.uniform(1.65, 1.95)
    hip = height * 0.5
    leg = Part(box((0.22, hip, 0.26), (0, -hip / 2, 0)), LabelId.PERSON, Material.PLAIN, pick(rng, CLOTHES))
    return _upper_body(rng, LabelId.PERSON, hip, height), [leg], hip


def rider(rng: np.random.Generator) -> list[Part]:
    """A cyclist on a bicycle."""
    wheels = np.concatenate([wheel(0.36, 0.12, (0, 0.36, z), sides=12) for z in (-0.52, 0.52)])
    # No face lies in the plane of a wheel's, nor the legs' in that of the body's.
    frame = np.concatenate([box((0.1, 0.12, 1.0), (0, 0.62, 0)), box((0.5, 0.08, 0.08), (0, 1.02, 0.42))])
    legs = np.concatenate([box((0.17, 0.62, 0.24), (x, 0.62 + dy, 0.06)) for x, dy in ((-0.14, 0.06), (0.14, -0.06))])
    return [
        Part(wheels, LabelId.BICYCLE, Material.PLAIN, RUBBER),
        Part(frame, LabelId.BICYCLE, Material.PLAIN, pick(rng, VEHICLE_PAINTS)),
        Part(legs, LabelId.RIDER, Material.PLAIN, pick(rng, CLOTHES)),
        *_upper_body(rng, LabelId.RIDER, 0.9, 1.78),
    ]


def tree(rng: np.random.Generator) -> list[Part]:
    """A street tree; the trunk is vegetation, as in Cityscapes."""
    trunk, girth = rng.uniform(2.0, 2.8), rng.uniform(0.28, 0.42)
    green = (rng.uniform(0.16, 0.30), rng.uniform(0.32, 0.46), rng.uniform(0.08, 0.16))
    radius = rng.uniform(1.3, 2.0)
    crown = [blob((radius, radius * rng.uniform(0.9, 1.3), radius), (0, trunk + radius, 0), rng, 0.16)]
    for _ in range(rng.integers(1, 3)):
        small = radius * rng.uniform(0.55, 0.8)
        x, y, z = rng.uniform(-0.8, 0.8, 3) * radius
        crown.append(blob((small, small, small), (x, trunk + radius * 1.3 + 0.5 * y, z), rng, 0.18))
    return [
        Part(
            box((girth, trunk + 0.6, girth), (0, trunk / 2 + 0.3, 0)),
            LabelId.VEGETATION,
            Material.PLAIN,
            (0.24, 0.18, 0.13),
        ),
        Part(np.concatenate(crown), LabelId.VEGETATION, Material.LEAVES, green),
    ]


def bush(rng: np.random.Generator) -> list[Part]:
    """A bush of about a man's height."""
    green = (rng.uniform(0.18, 0.3), rng.uniform(0.32, 0.46), rng.uniform(0.08, 0.16))
    radii = (rng.uniform(0.8, 1.4), rng.uniform(0.7, 1.3), rng.uniform(0.8, 1.6))
    return [Part(blob(radii, (0, radii[1] * 0.6, 0), rng, 0.18), LabelId.VEGETATION, Material.LEAVES, green)]


def lamp(rng: np.random.Generator, side: int) -> list[Part]:
    """A street lamp whose arm reaches over the road; ``side`` is +1 on the right of the road, -1 on the left."""
    height, girth = rng.uniform(5.5, 7.0), rng.uniform(0.26, 0.34)
    post = np.concatenate(
        [
            box((girth, height, girth), (0, height / 2, 0)),
            box((1.8, 0.22, 0.22), (-side * 0.9, height, 0)),
            box((0.8, 0.26, 0.4), (-side * 1.9, height - 0.02, 0)),
        ]
    )
    return [Part(post, LabelId.POLE, Material.PLAIN, STEEL)]


def sign(rng: np.random.Generator) -> list[Part]:
    """A traffic sign on a post, bigger than in life so that it can be learnt at a small size."""
    height, size = rng.uniform(2.4, 3.0), rng.uniform(0.95, 1.25)
    girth = 0.22
    post = Part(box((girth, height, girth), (0, height / 2, 0.1)), LabelId.POLE, Material.PLAIN, STEEL)
    colour = pick(rng, SIGN_PAINTS)
    if rng.random() < 0.5:
        board = turned(wheel(size / 2, 0.08, (0, 0, 0), sides=12), np.pi / 2, (0, height, -0.1))
        inner = turned(wheel(size / 3, 0.1, (0, 0, 0), sides=12), np.pi / 2, (0, height, -0.1))
    else:
        board = box((size, size * 0.9, 0.08), (0, height, -0.1))
        inner = box((size * 0.6, size * 0.5, 0.1), (0, height, -0.1))
    return [
        post,
        Part(board, LabelId.TRAFFIC_SIGN, Material.PLAIN, colour),
        Part(inner, LabelId.TRAFFIC_SIGN, Material.PLAIN, (0.9, 0.9, 0.88)),
    ]


def traffic_light(rng: np.random.Generator) -> list[Part]:
    """A traffic light on a post."""
    height = rng.uniform(2.9, 3.4)
    lit = rng.integers(3)
    lenses = []
    for k, colour in enumerate(((0.95, 0.10, 0.08), (0.95, 0.65, 0.08), (0.10, 0.80, 0.30))):
        shown = colour if k == lit else tuple(0.25 * value for value in colour)
        disc = turned(wheel(0.15, 0.1, (0, 0, 0), sides=8), np.pi / 2, (0, height + 0.36 - 0.36 * k, -0.24))
        lenses.append(Part(disc, LabelId.TRAFFIC_LIGHT, Material.PLAIN, shown))
    return [
        Part(box((0.24, height, 0.24), (0, height / 2, 0.1)), LabelId.POLE, Material.PLAIN, STEEL),
        Part(box((0.55, 1.25, 0.4), (0, height, 0)), LabelId.TRAFFIC_LIGHT, Material.PLAIN, (0.09, 0.10, 0.09)),
        *lenses,
    ]


def building(rng: np.random.Generator, width: float, height: float, depth: float, side: int) -> list[Part]:
    """A house whose front is at x = 0 and which reaches away from the road; ``width`` is along z."""
    wall = pick(rng, WALLS, 0.12)
    floor, bay = rng.uniform(2.8, 3.5), rng.uniform(1.9, 3.2)
    x = side * depth / 2
    parts = [
        Part(box((depth, height, width), (x, height / 2, 0)), LabelId.BUILDING, Material.FACADE, wall, (bay, floor))
    ]
    roof = tuple(0.55 * value for value in wall)
    if rng.random() < 0.5:
        gable = prism(
            np.array([(-width / 2 - 0.2, height), (0, height + rng.uniform(1.5, 3)), (width / 2 + 0.2, height)]), depth
        )
        parts.append(Part(gable + np.float32([x, 0, 0]), LabelId.BUILDING, Material.PLAIN, (0.40, 0.22, 0.18)))
    else:
        parts.append(Part(box((depth + 0.6, 0.5, width + 0.1), (x, height, 0)), LabelId.BUILDING, Material.PLAIN, roof))
    return parts


def fence(rng: np.random.Generator, length: float) -> list[Part]:
    """A board fence along z, x = 0."""
    height = rng.uniform(1.5, 2.1)
    colour = pick(rng, ((0.45, 0.32, 0.22), (0.62, 0.62, 0.60), (0.35, 0.40, 0.36)))
    return [Part(box((0.15, height, length), (0, height / 2, 0)), LabelId.FENCE, Material.PLANKS, colour, (0.35, 0.06))]
