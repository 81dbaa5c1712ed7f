"""What colour a ray finds: sky, objects, ground and their light; compiled by numba."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from tracache.training.render.distances import light_seen, object_distance

# One row per colour, sRGB in 0..255. Chosen far apart, so that they survive sunset and night.
_SRGB = (
    (222, 30, 32),
    (255, 125, 10),
    (250, 226, 30),
    (20, 150, 50),
    (15, 80, 235),
    (125, 40, 190),
    (255, 125, 185),
    (245, 245, 245),
)
ALBEDO = ((np.array(_SRGB) / 255.0) ** 2.2).astype(np.float32)
"""Linear albedo of each colour, shape (8, 3)."""

# A stripe is white on dark colours and dark on bright ones, in the colours' order.
_STRIPE = np.array([0.9, 0.02, 0.02, 0.9, 0.9, 0.9, 0.02, 0.02], dtype=np.float32)

# Per time of day: direction to the light, its colour, the ambient colour, zenith, horizon.
LIGHTS = np.array(
    [
        [
            -0.50,
            0.72,
            -0.48,
            1.15,
            1.12,
            1.05,
            0.36,
            0.39,
            0.44,
            0.16,
            0.40,
            0.80,
            0.70,
            0.83,
            0.93,
        ],
        [
            -0.62,
            0.50,
            -0.60,
            1.08,
            0.90,
            0.74,
            0.37,
            0.33,
            0.35,
            0.22,
            0.22,
            0.46,
            0.98,
            0.50,
            0.22,
        ],
        [
            0.50,
            0.66,
            -0.56,
            0.74,
            0.77,
            0.86,
            0.25,
            0.26,
            0.32,
            0.01,
            0.016,
            0.06,
            0.04,
            0.065,
            0.17,
        ],
    ],
    dtype=np.float32,
).reshape(3, 5, 3)
# Ground albedo: grass, sand, snow, water (the last is the colour of its depth).
GROUND = np.array(
    [[0.16, 0.34, 0.07], [0.72, 0.53, 0.30], [0.80, 0.84, 0.90], [0.03, 0.14, 0.20]],
    dtype=np.float32,
)


@njit(cache=True, fastmath=True)
def _blob(x, y, cx, cy, rx, ry):
    return math.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


@njit(cache=True, fastmath=True)
def shade_sky(time, light, dx, dy, dz, out):
    """Sky colour in a direction: gradient, then clouds, a low sun or the moon and some stars."""
    h = min(max(dy, 0.0) * 2.6, 1.0)
    mix = 1.0 - (1.0 - h) ** 2
    for k in range(3):
        out[k] = light[4, k] * (1.0 - mix) + light[3, k] * mix
    if dz <= 0.0:
        return
    u, v = dx / dz, dy / dz
    if time == 0:
        cloud = 0.75 * _blob(u, v, -0.17, 0.105, 0.09, 0.020) + 0.65 * _blob(
            u, v, -0.12, 0.090, 0.08, 0.016
        )
        cloud += 0.75 * _blob(u, v, 0.19, 0.075, 0.08, 0.016)
        for k in range(3):
            out[k] += min(cloud, 1.0) * (0.97 - out[k])
    elif time == 1:
        r = math.sqrt((u - 0.175) ** 2 + (v - 0.052) ** 2)
        disc = 1.0 / (1.0 + math.exp((r - 0.034) * 500.0))
        glow = math.exp(-r * 9.0) * 0.5
        out[0] += glow * 0.9 + disc * (1.0 - out[0])
        out[1] += glow * 0.45 + disc * (0.88 - out[1])
        out[2] += glow * 0.10 + disc * (0.50 - out[2])
    else:
        r = math.sqrt((u - 0.190) ** 2 + (v - 0.088) ** 2)
        disc = 1.0 / (1.0 + math.exp((r - 0.030) * 500.0))
        glow = math.exp(-r * 14.0) * 0.10
        star = _blob(u, v, -0.22, 0.095, 0.005, 0.005) + _blob(u, v, -0.13, 0.060, 0.004, 0.004)
        star += _blob(u, v, -0.06, 0.105, 0.005, 0.005) + _blob(u, v, 0.08, 0.080, 0.004, 0.004)
        for k in range(3):
            out[k] += glow + 0.7 * star + disc * (0.85 - out[k])


@njit(cache=True, fastmath=True)
def _striped(o, px, py):
    """Whether a point lies on the stripe through the object's axis, which turns with it."""
    if o[11] < 0.5:
        return False
    x, y = (px - o[1]) / o[4], (py - o[2]) / o[4] - 1.0
    return abs(math.cos(o[10]) * x - math.sin(o[10]) * y) < 0.24


@njit(cache=True, fastmath=True)
def shade_object(objs, i, albedo, time, light, ground, px, py, pz, dx, dy, dz, out):
    """Colour of a point on object ``i`` seen along the direction d."""
    e, o = 0.002, objs[i]
    nx = object_distance(o, px + e, py, pz) - object_distance(o, px - e, py, pz)
    ny = object_distance(o, px, py + e, pz) - object_distance(o, px, py - e, pz)
    nz = object_distance(o, px, py, pz + e) - object_distance(o, px, py, pz - e)
    n = 1.0 / max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
    nx, ny, nz = nx * n, ny * n, nz * n
    lx, ly, lz = light[0, 0], light[0, 1], light[0, 2]
    lambert = max(nx * lx + ny * ly + nz * lz, 0.0)
    seen = 1.0
    if lambert > 0.0:
        g = 0.02
        seen = light_seen(objs, px + nx * g, py + ny * g, pz + nz * g, lx, ly, lz)
    sky_part = 0.62 + 0.38 * ny  # ambient light comes from above, the ground gives some back
    low = min(py / 0.5, 1.0)
    occlusion = 0.72 + 0.28 * max(low, 0.0)
    colour, striped = albedo[int(o[6])], _striped(o, px, py)
    for k in range(3):
        paint = _STRIPE[int(o[6])] if striped else colour[k]
        bounce = 0.16 * ground[k] * (0.5 - 0.5 * ny) * light[1, k]
        ambient = (light[2, k] * sky_part + bounce) * occlusion
        out[k] = paint * (ambient + 0.72 * light[1, k] * lambert * seen)
    if o[7] > 0.5:
        hx, hy, hz = lx - dx, ly - dy, lz - dz
        m = 1.0 / math.sqrt(hx * hx + hy * hy + hz * hz)
        spec = max((nx * hx + ny * hy + nz * hz) * m, 0.0)
        cos = max(-(nx * dx + ny * dy + nz * dz), 0.0)
        fresnel = 0.07 + 0.45 * (1.0 - cos) ** 4
        f = 2.0 * (nx * dx + ny * dy + nz * dz)
        sky = np.zeros(3, dtype=np.float32)
        ry = dy - f * ny
        if ry > 0.0:
            shade_sky(time, light, dx - f * nx, ry, -1.0, sky)
        else:
            for k in range(3):
                sky[k] = ground[k] * (light[2, k] + 0.4 * light[1, k])
        gloss = (1.1 * spec**90 + 0.22 * spec**14) * seen
        for k in range(3):
            out[k] = (
                out[k] * (1.0 - fresnel) + fresnel * sky[k] + gloss * (0.35 + 0.65 * light[1, k])
            )


@njit(cache=True, fastmath=True)
def shade_ground(objs, kind, time, light, ground, px, pz, out):
    """Lit colour of dry ground at a point (y = 0), with its fixed gentle pattern."""
    lx, ly, lz = light[0, 0], light[0, 1], light[0, 2]
    seen = light_seen(objs, px, 0.0, pz, lx, ly, lz)
    near = 1.0
    for i in range(objs.shape[0]):  # contact shade where an object meets the ground
        if objs[i, 2] < 0.1:
            d = object_distance(objs[i], px, 0.03, pz)
            near = min(near, 0.55 + 0.45 * min(max(d, 0.0) / (0.5 * objs[i, 4]), 1.0))
    fade = math.exp(-0.012 * (px * px + (pz + 1.0) ** 2))
    if kind == 0:
        wave = 0.10 * math.sin(2.3 * px + 1.1 * pz) * math.sin(1.7 * pz - 0.6 * px)
    elif kind == 1:
        wave = 0.07 * math.sin(7.0 * pz + 1.2 * math.sin(0.9 * px) + 1.3 * px)
    else:
        wave = 0.035 * math.sin(1.1 * px + 0.8 * pz) * math.cos(0.9 * pz - 0.4 * px)
    for k in range(3):
        lit = light[2, k] * near + 0.72 * light[1, k] * ly * seen * (0.5 + 0.5 * near)
        out[k] = ground[k] * (1.0 + wave * fade) * lit
