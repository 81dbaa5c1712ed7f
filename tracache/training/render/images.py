"""A small ray renderer for the scenes: signed distance fields, compiled by numba.

The camera, the sun and the backdrop stand still; only the objects move a little. That is on
purpose: every degree of freedom that no caption names is one the models must learn for nothing.
"""

from __future__ import annotations

import math
import random

import numpy as np

from tracache.training.render.distances import OBJECT_FIELDS
from tracache.training.render.rays import CAMERA, render_batch
from tracache.training.render.scenes import COLOURS, GROUNDS, SOLIDS, TIMES, Object, Scene
from tracache.training.render.shading import ALBEDO, GROUND, LIGHTS

SIZE = 128
"""Width and height of a picture in pixels."""

_HEIGHT = {"sphere": 2.0, "cube": 1.64, "cylinder": 1.9, "cone": 2.1, "ring": 1.96}
_RADIUS = {"sphere": 1.05, "cube": 1.55, "cylinder": 1.25, "cone": 1.5, "ring": 1.05}
_YAW = {"cube": 0.55, "ring": 0.45}


def _place(thing: Object, x: float, y: float, scale: float, rng: random.Random) -> list[float]:
    z = rng.uniform(-0.10, 0.10) if y == 0.0 else 0.0
    yaw = _YAW.get(thing.solid, 0.0) + rng.uniform(-0.15, 0.15)
    solid, colour = SOLIDS.index(thing.solid), COLOURS.index(thing.colour)
    shiny, turn = thing.finish == "shiny", (math.cos(yaw), math.sin(yaw))
    bound = _RADIUS[thing.solid] * scale
    return [solid, x, y, z, scale, turn[0], colour, shiny, bound, turn[1], 0.0, 0.0]


def layout(scene: Scene, seed: int) -> np.ndarray:
    """Place the scene's objects, with a little seeded jitter in position, size and turn.

    Returns
    -------
    numpy.ndarray
        float32, shape (1 or 2, 12): one row per object, in world units.
    """
    rng = random.Random(f"{seed}:{scene.caption}")
    x, grow = rng.uniform(-0.14, 0.14), rng.uniform(0.95, 1.05)
    if scene.second is None:
        rows = [_place(scene.first, x, 0.0, 0.92 * grow, rng)]
    elif scene.relation == "on top of":
        tall = _HEIGHT[scene.first.solid] + _HEIGHT[scene.second.solid]
        scale = 2.12 / tall * grow
        below = _place(scene.second, x, 0.0, scale, rng)
        top = _place(scene.first, x, _HEIGHT[scene.second.solid] * scale, scale, rng)
        top[3] = below[3]
        rows = [top, below]
    else:
        side = -1.0 if scene.relation == "left of" else 1.0
        gap = rng.uniform(0.82, 0.92)
        rows = [
            _place(scene.first, 0.6 * x + side * gap, 0.0, 0.66 * grow, rng),
            _place(scene.second, 0.6 * x - side * gap, 0.0, 0.66 * grow, rng),
        ]
    return np.array(rows, dtype=np.float32)


def render(scenes: list[Scene], seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Render scenes; picture ``i`` depends on its scene and on ``seed + i`` alone.

    Parameters
    ----------
    scenes : list of Scene
        What to draw.
    seed : int, default 0
        Seed of the jitter of the first picture; the next one takes the next integer.
    size : int, default 128
        Width and height in pixels.

    Returns
    -------
    numpy.ndarray
        uint8, shape (len(scenes), size, size, 3), sRGB.
    """
    count = len(scenes)
    objs = np.zeros((count, 2, OBJECT_FIELDS), dtype=np.float32)
    counts = np.empty(count, dtype=np.int64)
    for i, scene in enumerate(scenes):
        rows = layout(scene, seed + i)
        counts[i] = len(rows)
        objs[i, : len(rows)] = rows
    kinds = np.array([GROUNDS.index(s.ground) for s in scenes], dtype=np.int64)
    times = np.array([TIMES.index(s.time) for s in scenes], dtype=np.int64)
    return draw(objs, counts, kinds, times, size, CAMERA)


def draw(
    objs: np.ndarray,
    counts: np.ndarray,
    kinds: np.ndarray,
    times: np.ndarray,
    size: int,
    camera: tuple[float, float, float, float],
) -> np.ndarray:
    """Render objects (n, most, 12), of which the first ``counts`` are there: uint8 pictures."""
    lights = LIGHTS.copy()
    lights[:, 0] /= np.linalg.norm(lights[:, 0], axis=1, keepdims=True)
    out = np.empty((len(objs), size, size, 3), dtype=np.uint8)
    render_batch(objs, counts, kinds, times, lights, GROUND, ALBEDO, camera, size, out)
    return out
