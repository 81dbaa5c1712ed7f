"""The compiled half of the renderer: a picture's rays, and water that mirrors.

Everything here works in linear light and world units, one ray at a time, so that numba can turn it
into machine code. ``tracache.training.render.images`` is the half to call.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from tracache.training.render.distances import light_seen, march
from tracache.training.render.shading import shade_ground, shade_object, shade_sky

CAMERA = (1.75, -6.2, -0.165, 0.285)
"""The pictures' camera: height, z, pitch, half-height of the picture plane at distance 1."""


@njit(cache=True, fastmath=True)
def _trace(objs, albedo, kind, time, light, ground, oy, oz, dx, dy, dz, out):
    """Colour along one camera ray, linear RGB into ``out``."""
    t, i = march(objs, 0.0, oy, oz, dx, dy, dz)
    plane = -oy / dy if dy < -1e-4 else 1e9
    if i >= 0 and t < plane:
        shade_object(
            objs, i, albedo, time, light, ground, t * dx, oy + t * dy, oz + t * dz, dx, dy, dz, out
        )
        return
    if plane > 200.0:
        shade_sky(time, light, dx, dy, dz, out)
        return
    px, pz = plane * dx, oz + plane * dz
    if kind != 3:
        shade_ground(objs, kind, time, light, ground, px, pz, out)
    else:
        # Water mirrors what is above it; small waves bend the mirrored ray sideways and upwards.
        calm = math.exp(-0.05 * plane)
        rx = dx + 0.012 * calm * math.sin(9.0 * pz + 2.0 * px)
        ry = -dy + 0.010 * calm * math.sin(14.0 * pz + 1.5 * math.sin(2.0 * px))
        n = 1.0 / math.sqrt(rx * rx + ry * ry + dz * dz)
        rx, ry, rz = rx * n, ry * n, dz * n
        mirror = np.zeros(3, dtype=np.float32)
        s, j = march(objs, px, 0.0, pz, rx, ry, rz)
        if j >= 0:
            shade_object(
                objs,
                j,
                albedo,
                time,
                light,
                ground,
                px + s * rx,
                s * ry,
                pz + s * rz,
                rx,
                ry,
                rz,
                mirror,
            )
        else:
            shade_sky(time, light, rx, ry, rz, mirror)
        fresnel = 0.42 + 0.45 * (1.0 - min(ry * 1.5, 1.0)) ** 3
        seen = 0.65 + 0.35 * light_seen(objs, px, 0.0, pz, light[0, 0], light[0, 1], light[0, 2])
        for k in range(3):
            depth = ground[k] * (light[2, k] + 0.8 * light[1, k]) * seen
            out[k] = fresnel * mirror[k] + (1.0 - fresnel) * depth
    haze = 1.0 - math.exp(-max(plane - 9.0, 0.0) * 0.035)
    for k in range(3):
        out[k] += haze * (light[4, k] - out[k])


@njit(cache=True, parallel=True, fastmath=True)
def render_batch(objs, counts, kinds, times, lights, grounds, albedo, camera, size, out):
    """Render a batch; 2x2 rays a pixel, averaged after a soft shoulder and the sRGB gamma."""
    eye_y, eye_z, pitch, half = camera
    cp, sp = math.cos(pitch), math.sin(pitch)
    for job in prange(objs.shape[0] * size):
        b, row = job // size, job % size
        o = objs[b, : counts[b]]
        light, ground = lights[times[b]], grounds[kinds[b]]
        rgb = np.zeros(3, dtype=np.float32)
        for col in range(size):
            total0, total1, total2 = 0.0, 0.0, 0.0
            for sub in range(4):
                u = ((col + 0.25 + 0.5 * (sub % 2)) / size * 2.0 - 1.0) * half
                v = (1.0 - (row + 0.25 + 0.5 * (sub // 2)) / size * 2.0) * half
                n = 1.0 / math.sqrt(1.0 + u * u + v * v)
                dx, dy, dz = u * n, (v * cp + sp) * n, (cp - v * sp) * n
                _trace(o, albedo, kinds[b], times[b], light, ground, eye_y, eye_z, dx, dy, dz, rgb)
                for k in range(3):
                    x = max(rgb[k], 0.0)
                    x = x if x < 0.75 else 0.75 + 0.25 * (1.0 - math.exp(-(x - 0.75) * 4.0))
                    rgb[k] = x ** (1.0 / 2.2)
                total0, total1, total2 = total0 + rgb[0], total1 + rgb[1], total2 + rgb[2]
            out[b, row, col, 0] = np.uint8(min(total0 * 63.75 + 0.5, 255.0))
            out[b, row, col, 1] = np.uint8(min(total1 * 63.75 + 0.5, 255.0))
            out[b, row, col, 2] = np.uint8(min(total2 * 63.75 + 0.5, 255.0))
