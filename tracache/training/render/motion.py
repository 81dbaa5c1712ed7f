"""Where everything in a clip is at every frame, in world units and on the picture.

The camera stands still and looks down a little, so that an orbit is seen as an open ellipse. Only
the objects move; their sizes and paths are jittered a little by the seed.
"""

from __future__ import annotations

import math
import random

import numpy as np

from tracache.training.render.clips import Clip, Thing
from tracache.training.render.scenes import COLOURS as PALETTE
from tracache.training.render.scenes import SOLIDS as SHAPES

FRAMES = 17
SIZE = 64
"""Width and height of a frame in pixels."""
FPS = 8
CAMERA = (3.0, -5.7, -0.41, 0.35)
"""Height, place on the z axis, pitch and half-height of the picture plane at distance 1."""

_HEIGHT = {"sphere": 2.0, "cube": 1.64, "cylinder": 1.9, "cone": 2.1, "ring": 1.96}
_RADIUS = {"sphere": 1.05, "cube": 1.55, "cylinder": 1.25, "cone": 1.5, "ring": 1.05}


def path(clip: Clip, rng: random.Random) -> tuple[np.ndarray, float]:
    """The mover's way: base positions x, y, z of shape (frames, 3), and its scale."""
    t = np.linspace(0.0, 1.0, FRAMES)
    out = np.zeros((FRAMES, 3))
    if clip.verb == "orbits":
        turn = 1.0 if clip.direction == "clockwise" else -1.0
        angle = (
            turn * math.radians(rng.uniform(290, 310)) * t + math.pi / 2 + rng.uniform(-0.1, 0.1)
        )
        radius = rng.uniform(1.34, 1.44)
        out[:, 0], out[:, 2] = -radius * np.sin(angle), -radius * np.cos(angle)
        return out, rng.uniform(0.46, 0.5)
    way = 1.0 if clip.direction == "to the right" else -1.0
    shift = rng.uniform(-0.08, 0.08)
    if clip.verb == "bounces":
        reach, height = rng.uniform(0.84, 0.94), rng.uniform(1.1, 1.2)
        out[:, 1] = height * (1.0 - (2.0 * np.mod(2.0 * t, 1.0) - 1.0) ** 2)
        out[-1, 1] = 0.0
        scale = rng.uniform(0.62, 0.66)
    else:
        reach, scale = rng.uniform(1.14, 1.24), rng.uniform(0.68, 0.72)
    out[:, 0] = shift + way * reach * (2.0 * t - 1.0)
    out[:, 2] = rng.uniform(-0.1, 0.1)
    return out, scale


def _rows(
    thing: Thing, places: np.ndarray, scale: float, rng: random.Random, rolls: bool
) -> np.ndarray:
    """A thing's rows for the renderer, (frames, 12)."""
    yaw = 0.0 if rolls else {"cube": 0.55, "ring": 0.45}.get(thing.solid, 0.0)
    yaw += 0.0 if rolls else rng.uniform(-0.1, 0.1)
    rows = np.zeros((FRAMES, 12), dtype=np.float32)
    rows[:, 0] = SHAPES.index(thing.solid)
    rows[:, 1:4], rows[:, 4] = places, scale
    rows[:, 5], rows[:, 9] = math.cos(yaw), math.sin(yaw)
    rows[:, 6] = PALETTE.index(thing.colour)
    rows[:, 8] = scale * _RADIUS[thing.solid]
    if rolls:
        rows[:, 10] = rng.uniform(0.0, math.pi) + places[:, 0] / scale
        rows[:, 11] = 1.0
    return rows


def layout(clip: Clip, seed: int) -> np.ndarray:
    """Place the clip's objects at every frame.

    Returns
    -------
    numpy.ndarray
        float32, shape (17, 1 or 2, 12): the renderer's rows, the mover first.
    """
    rng = random.Random(f"{seed}:{clip.caption}")
    places, scale = path(clip, rng)
    rolls = clip.verb == "rolls"
    if clip.centre is None:
        return _rows(clip.mover, places, scale, rng, rolls)[:, None]
    middle = np.array([rng.uniform(-0.08, 0.08), 0.0, 0.0]) + np.zeros((FRAMES, 3))
    size = rng.uniform(0.56, 0.6)
    rows = [_rows(clip.mover, places + middle, scale, rng, rolls)]
    rows.append(_rows(clip.centre, middle, size, rng, False))
    return np.stack(rows, 1)


def centres(clip: Clip, rows: np.ndarray) -> np.ndarray:
    """Centres of the objects on the picture: (17, objects, 2), x and y in widths, y downwards."""
    half = np.array([[0.0, _HEIGHT[thing.solid] / 2, 0.0] for thing in clip.things])
    return project(rows[..., 1:4] + half * rows[..., 4:5])


def project(points: np.ndarray) -> np.ndarray:
    """World points (..., 3) to the picture: x and y in widths, (0, 0) the upper left corner."""
    eye_y, eye_z, pitch, half = CAMERA
    c, s = math.cos(pitch), math.sin(pitch)
    x, y, z = points[..., 0], points[..., 1] - eye_y, points[..., 2] - eye_z
    depth, up = y * s + z * c, y * c - z * s
    return np.stack([0.5 + 0.5 * x / depth / half, 0.5 - 0.5 * up / depth / half], -1)


def spin(rows: np.ndarray) -> np.ndarray:
    """Angle of each object's stripe in radians (17, objects), NaN where it has none."""
    return np.where(rows[..., 11] > 0, rows[..., 10], np.nan)
