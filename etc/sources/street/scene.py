"""A seeded street: where everything stands, how it moves, and where the camera drives.

World axes are x (right), y (up), z (along the road), in metres. The camera drives on the right of a straight road
with parked cars, pavements, poles, trees and a row of houses, hedges and fences on both sides.
"""

from dataclasses import dataclass

import numpy as np

from etc.sources.street import objects
from etc.sources.street.objects import LabelId, Material, Part
from etc.sources.street.params import StreetParams
from etc.sources.street.products import product
from etc.sources.street.shapes import box, turned

FOCAL = 0.9  # focal length over frame width: a view of 58 degrees
SIGHT = 130.0  # metres of street in front of the camera's last position
BEHIND = 15.0  # metres of street behind its first


@dataclass(frozen=True)
class Sky:
    """Light and weather of a clip; colours are (red, green, blue) in 0..1."""

    sun: np.ndarray  # unit vector to the sun
    sunlight: np.ndarray  # colour of the direct light
    ambient: np.ndarray  # colour of the light from everywhere
    zenith: np.ndarray
    horizon: np.ndarray
    clouds: float  # share of the sky's brightness that clouds change
    haze: float  # metres after which 63 % of the light is the horizon's
    offset: np.ndarray  # (2,) place in the cloud picture


@dataclass(frozen=True)
class Scene:
    """Everything to be drawn in one clip of T frames: N triangles on B rigid bodies (body 0 stands still).

    Attributes:
        triangles: float32 (N, 3, 3), corners in the frame of their body, metres.
        body: int32 (N,).
        part: int32 (N,), which object part a triangle belongs to.
        source: uint8 (N,), Cityscapes label id.
        material: uint8 (N,), see ``Material``.
        colour: float32 (N, 3), 0..1.
        pattern: float32 (N, 4): two sizes in metres, then a shift (u, v) of the texture in metres.
        poses: float64 (T, B, 4, 4), body to world.
        cameras: float64 (T, 4, 4), world to camera (x right, y down, z ahead).
        sky: light and weather.
        road: (half width of the road, half width of the part that is driven on), metres.
    """

    triangles: np.ndarray
    body: np.ndarray
    part: np.ndarray
    source: np.ndarray
    material: np.ndarray
    colour: np.ndarray
    pattern: np.ndarray
    poses: np.ndarray
    cameras: np.ndarray
    sky: Sky
    road: tuple[float, float]


class _Stage:
    """Collects parts and bodies while a scene is laid out."""

    def __init__(self, rng: np.random.Generator, frames: int) -> None:
        self.rng = rng
        # Keeps faces of objects in one lane from sharing a plane; draws of its own, so that the rest of the street
        # does not depend on it.
        self.jitter = rng.spawn(1)[0]
        self.frames = frames
        self.parts: list[tuple[Part, int, np.ndarray]] = []
        self.poses = [np.tile(np.eye(4), (frames, 1, 1))]

    def stand(self, parts: list[Part], x: float, z: float, yaw: float = 0.0, y: float = 0.0) -> None:
        """Put an object into the world for good."""
        shift = self.rng.uniform(0, 50, 2)
        if any(part.material == Material.FACADE for part in parts):
            shift[1] = 0  # floors are counted from the ground
        for part in parts:
            placed = part._replace(triangles=turned(part.triangles, yaw, (x, y, z)))
            self.parts.append((placed, 0, shift))

    def move(self, parts: list[Part], poses: np.ndarray) -> None:
        """Give an object a body of its own that follows ``poses`` (T, 4, 4)."""
        shift = self.rng.uniform(0, 50, 2)
        self.parts += [(part, len(self.poses), shift) for part in parts]
        self.poses.append(poses)

    def path(self, start: tuple[float, float, float], step: tuple[float, float], yaw: float) -> np.ndarray:
        """Poses (T, 4, 4) of a straight walk from ``start`` with ``step`` = metres a frame in x and z."""
        poses = np.tile(np.eye(4), (self.frames, 1, 1))
        cosine, sine = np.cos(yaw), np.sin(yaw)
        poses[:, :3, :3] = [[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]
        poses[:, :3, 3] = np.asarray(start) + np.arange(self.frames)[:, None] * np.array([step[0], 0, step[1]])
        return poses


def build_scene(params: StreetParams, rng: np.random.Generator) -> Scene:
    """Lay out the street of one clip. Equal parameters and generator state give an equal scene."""
    frames = params.frames_per_clip
    stage = _Stage(rng, frames)
    speed = params.speed * rng.uniform(0.7, 1.3)
    driven = rng.uniform(2.7, 3.6)
    parking = rng.random() < 0.6
    road = driven + (2.2 if parking else 0.4)
    pavement = rng.uniform(3.5, 5.5)
    lane = driven / 2
    end = SIGHT + speed * frames
    _ground(stage, road, pavement, end)
    for side in (-1, 1):
        _frontage(stage, side, road + pavement, end)
        _kerb(stage, side, road, end, params.density)
        if parking:
            _parked(stage, side, road, end, params.density)
        _walkers(stage, side, road, pavement, params.density)
    traffic = _traffic(stage, lane, speed, params.density)
    _riders(stage, driven, road, traffic, params.density)
    if rng.random() < 0.5 * params.density:
        _crossing(stage, driven, speed)
    cameras = _drive(rng, frames, lane, speed, np.deg2rad(params.sway))
    return _assemble(stage, cameras, _weather(rng), (road, driven))


def _ground(stage: _Stage, road: float, pavement: float, end: float) -> None:
    length, middle = end + BEHIND + 150, (end - BEHIND + 150) / 2
    grey = float(stage.rng.uniform(0.26, 0.36))
    tarmac = (grey, grey, grey * 1.03)
    stage.parts.append(
        (Part(box((2 * road, 1, length), (0, -0.5, middle)), LabelId.ROAD, Material.ASPHALT, tarmac), 0, np.zeros(2))
    )
    slab = stage.rng.uniform(0.9, 1.5)
    tone = objects.pick(stage.rng, ((0.58, 0.56, 0.53), (0.56, 0.50, 0.46), (0.50, 0.51, 0.53)))
    for side in (-1, 1):
        walk = box((pavement, 1, length), (side * (road + pavement / 2), -0.36, middle))
        stage.stand([Part(walk, LabelId.SIDEWALK, Material.SLABS, tone, (slab, 0.05))], 0, 0)
        lawn = box((200, 1, length), (side * (road + pavement + 100), -0.4, middle))
        stage.stand([Part(lawn, LabelId.TERRAIN, Material.LEAVES, (0.34, 0.42, 0.16))], 0, 0)


def _frontage(stage: _Stage, side: int, edge: float, end: float) -> None:
    rng, z = stage.rng, -BEHIND
    while z < end:
        kind = rng.choice(["house", "garden", "trees"], p=[0.6, 0.22, 0.18])
        width = rng.uniform(9, 18)
        middle = z + width / 2
        if kind == "house":
            house = objects.building(rng, width - 0.1, rng.uniform(5.5, 15), 12, side)
            stage.stand(house, side * (edge + rng.uniform(0, 1.5)), middle)
        else:
            if kind == "garden":
                stage.stand(objects.fence(rng, width), side * (edge + 0.3), middle)
            for place in np.arange(z + 1.5, z + width, 3.2):
                grown = objects.tree(rng) if rng.random() < 0.45 else objects.bush(rng)
                stage.stand(grown, side * (edge + rng.uniform(1.8, 5)), place)
        z += width


def _kerb(stage: _Stage, side: int, road: float, end: float, density: float) -> None:
    rng = stage.rng
    for z in np.arange(2.0 + rng.uniform(0, 5), min(end, 90), 6.5):
        kind = rng.choice(["tree", "lamp", "sign", "light", "nothing"], p=[0.24, 0.22, 0.24, 0.14, 0.16])
        if kind == "nothing" or rng.random() > 0.8 * density:
            continue
        parts = {
            "tree": lambda: objects.tree(rng),
            "lamp": lambda: objects.lamp(rng, side),
            "sign": lambda: objects.sign(rng),
            "light": lambda: objects.traffic_light(rng),
        }[kind]()
        stage.stand(parts, side * (road + 0.7), z + rng.uniform(-0.8, 0.8), y=0.14)


def _parked(stage: _Stage, side: int, road: float, end: float, density: float) -> None:
    rng = stage.rng
    busy = rng.uniform(0.15, 0.6) * density
    z = rng.uniform(-6, 0)
    while z < min(end, 90):
        if rng.random() < busy:
            is_lorry = rng.random() < 0.06
            parts = objects.lorry(rng) if is_lorry else objects.car(rng)
            length = 9.5 if is_lorry else 5.2
            stage.stand(parts, side * (road - 1.1), z + length / 2, 0 if side > 0 else np.pi)
        else:
            length = 5.2
        z += length + rng.uniform(0.3, 1.2)


def _walkers(stage: _Stage, side: int, road: float, pavement: float, density: float) -> None:
    rng = stage.rng
    for _ in range(rng.poisson(5 * density)):
        x = side * (road + rng.uniform(1.4, pavement - 0.4))
        way = rng.choice([-1, 1])
        _pedestrian(stage, (x, 0.14, rng.uniform(5, 38)), (0, way * rng.uniform(0.05, 0.10)), 0 if way > 0 else np.pi)


def _crossing(stage: _Stage, driven: float, speed: float) -> None:
    rng = stage.rng
    way = rng.choice([-1, 1])
    ahead = speed * stage.frames + rng.uniform(7, 14)
    start = (rng.uniform(-driven, driven), 0.0, ahead)
    _pedestrian(stage, start, (way * rng.uniform(0.06, 0.11), 0), way * np.pi / 2)


def _pedestrian(stage: _Stage, start: tuple[float, float, float], step: tuple[float, float], yaw: float) -> None:
    rng = stage.rng
    body, leg, hip = objects.person(rng)
    poses = stage.path(start, step, yaw)
    stage.move(body, poses)
    swing = 0.45 * np.sin(rng.uniform(0, 2 * np.pi) + 0.7 * np.arange(stage.frames))
    for which in (-1, 1):
        joint = np.tile(np.eye(4), (stage.frames, 1, 1))
        cosine, sine = np.cos(which * swing), np.sin(which * swing)
        joint[:, 1, 1], joint[:, 1, 2], joint[:, 2, 1], joint[:, 2, 2] = cosine, -sine, sine, cosine
        joint[:, :3, 3] = (which * 0.14, hip, 0)
        stage.move(leg, product(poses, joint))


def _traffic(stage: _Stage, lane: float, speed: float, density: float) -> list[tuple[int, float]]:
    """Moving vehicles; returns (side of the road, first z) of each."""
    rng, placed = stage.rng, []
    gap = (rng.uniform(8, 24), 1)
    oncoming = (rng.uniform(14, 40), -1)
    for first, side in (gap, oncoming):
        for z in (first, first + rng.uniform(16, 30)):
            if rng.random() > 0.7 * density:
                continue
            make = rng.choice([objects.car, objects.lorry, objects.bus], p=[0.64, 0.18, 0.18])
            # A leading vehicle changes its distance by a few metres over the clip, so it is never run over.
            pace = speed + rng.uniform(-3, 6) / stage.frames if side > 0 else -rng.uniform(0.3, 0.6)
            length = 2.2 if make is objects.car else 6.0
            place = lane + stage.jitter.uniform(-0.1, 0.1)
            poses = stage.path((side * place, 0, z + length), (0, pace), 0 if side > 0 else np.pi)
            stage.move(make(rng), poses)
            placed.append((side, z))
    return placed


def _riders(stage: _Stage, driven: float, road: float, traffic: list[tuple[int, float]], density: float) -> None:
    rng = stage.rng
    for _ in range(rng.poisson(1.2 * density)):
        side, z = int(rng.choice([-1, 1])), rng.uniform(8, 24)
        in_the_way = any(side == other and abs(z - place) < 16 for other, place in traffic)
        # Where a vehicle is near, the cyclist takes the path beside the kerb.
        x, y = (road + 1.5, 0.14) if in_the_way else (driven - 0.1, 0.0)
        x += stage.jitter.uniform(-0.1, 0.1)
        poses = stage.path((side * x, y, z), (0, side * rng.uniform(0.2, 0.4)), 0 if side > 0 else np.pi)
        stage.move(objects.rider(rng), poses)


def _drive(rng: np.random.Generator, frames: int, lane: float, speed: float, sway: float) -> np.ndarray:
    time = np.arange(frames)

    def wave(size: float, shortest: float, longest: float) -> np.ndarray:
        period = rng.uniform(shortest, longest)
        return size * np.sin(2 * np.pi * time / period + rng.uniform(0, 2 * np.pi))

    yaw = wave(sway * rng.uniform(0.3, 1), 24, 60)
    pitch = np.deg2rad(2.0) + wave(np.deg2rad(0.25), 5, 12)
    x = lane + wave(0.2, 20, 60)
    y = 1.5 + wave(0.02, 5, 12)
    cameras = np.tile(np.eye(4), (frames, 1, 1))
    for t in range(frames):
        turn = np.array([[np.cos(yaw[t]), 0, -np.sin(yaw[t])], [0, -1, 0], [np.sin(yaw[t]), 0, np.cos(yaw[t])]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch[t]), -np.sin(pitch[t])], [0, np.sin(pitch[t]), np.cos(pitch[t])]])
        cameras[t, :3, :3] = product(nod, turn)
        cameras[t, :3, 3] = product(-cameras[t, :3, :3], np.array([[x[t]], [y[t]], [speed * t]]))[:, 0]
    return cameras


def _weather(rng: np.random.Generator) -> Sky:
    height, bearing = rng.uniform(0.45, 1.1), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(height) * np.sin(bearing), np.sin(height), np.cos(height) * np.cos(bearing)])
    cover = rng.uniform(0, 1)  # 0 = clear, 1 = overcast
    warm = np.array([1.0, rng.uniform(0.88, 1.0), rng.uniform(0.74, 1.0)])
    clear, grey = np.array([0.32, 0.50, 0.78]), np.array([0.68, 0.71, 0.75])
    horizon = np.array([0.84, 0.87, 0.90]) * rng.uniform(0.9, 1.05)
    return Sky(
        sun=sun,
        sunlight=warm * (0.85 - 0.6 * cover),
        ambient=np.array([0.50, 0.53, 0.58]) * (0.9 + 0.45 * cover),
        zenith=clear * (1 - cover) + grey * cover,
        horizon=np.minimum(horizon, 1),
        clouds=rng.uniform(0.05, 0.25),
        haze=rng.uniform(180, 450),
        offset=rng.uniform(0, 10, 2),
    )


def _assemble(stage: _Stage, cameras: np.ndarray, sky: Sky, road: tuple[float, float]) -> Scene:
    counts = [len(part.triangles) for part, _, _ in stage.parts]

    def spread(values: list, dtype: type) -> np.ndarray:
        return np.repeat(np.array(values, dtype), counts, axis=0)

    return Scene(
        triangles=np.concatenate([part.triangles for part, _, _ in stage.parts]),
        body=spread([body for _, body, _ in stage.parts], np.int32),
        part=spread(list(range(len(stage.parts))), np.int32),
        source=spread([part.source for part, _, _ in stage.parts], np.uint8),
        material=spread([part.material for part, _, _ in stage.parts], np.uint8),
        colour=spread([part.colour for part, _, _ in stage.parts], np.float32),
        pattern=spread([(*part.pattern, *shift) for part, _, shift in stage.parts], np.float32),
        poses=np.stack(stage.poses, axis=1),
        cameras=cameras,
        sky=sky,
        road=road,
    )
