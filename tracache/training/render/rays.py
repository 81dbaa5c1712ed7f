"""The compiled half of the renderer: signed distance fields, light, water, sky.

Everything here works in linear light and world units, one ray at a time, so that numba can turn it
into machine code. ``tracache.training.render.images`` is the half to call.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

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

# solid, x, y (of the base), z, scale, cos(yaw), colour, shiny, bounding radius, sin(yaw),
# turn of the stripe, striped
OBJECT_FIELDS = 12

CAMERA = (1.75, -6.2, -0.165, 0.285)
"""The pictures' camera: height, z, pitch, half-height of the picture plane at distance 1."""
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
def _object_distance(o, px, py, pz):
    """Signed distance from a point to one object, in world units."""
    s = o[4]
    c, n = o[5], o[9]
    dx, dz = (px - o[1]) / s, (pz - o[3]) / s
    x, z = c * dx - n * dz, n * dx + c * dz
    y = (py - o[2]) / s
    kind = int(o[0])
    if kind == 0:  # sphere of radius 1
        d = math.sqrt(x * x + (y - 1.0) ** 2 + z * z) - 1.0
    elif kind == 1:  # cube of half-side 0.82 with rounded edges
        r = 0.05
        ax, ay, az = abs(x) - 0.82 + r, abs(y - 0.82) - 0.82 + r, abs(z) - 0.82 + r
        out = math.sqrt(max(ax, 0.0) ** 2 + max(ay, 0.0) ** 2 + max(az, 0.0) ** 2)
        d = out + min(max(ax, max(ay, az)), 0.0) - r
    elif kind == 2:  # cylinder, radius 0.68, height 1.9
        r = 0.04
        a, b = math.sqrt(x * x + z * z) - 0.68 + r, abs(y - 0.95) - 0.95 + r
        d = min(max(a, b), 0.0) + math.sqrt(max(a, 0.0) ** 2 + max(b, 0.0) ** 2) - r
    elif kind == 3:  # cone, base radius 0.95, height 2.1
        q = math.sqrt(x * x + z * z)
        # distance to the slanted side, an under-estimate beyond the tip, which only costs steps
        side = (q * 2.1 + (y - 2.1) * 0.95) / 2.3049
        d = max(side, -y)
    else:  # ring: torus standing upright, its axis along z
        q = math.sqrt(x * x + (y - 0.98) ** 2) - 0.68
        d = math.sqrt(q * q + z * z) - 0.30
    return d * s


@njit(cache=True, fastmath=True)
def _nearest(objs, px, py, pz):
    best, index = 1e9, -1
    for i in range(objs.shape[0]):
        d = _object_distance(objs[i], px, py, pz)
        if d < best:
            best, index = d, i
    return best, index


@njit(cache=True, fastmath=True)
def _bounds(objs, ox, oy, oz, dx, dy, dz, margin):
    """Where the ray enters and leaves the objects' bounding spheres (or -1, -1)."""
    t0, t1 = 1e9, -1.0
    for i in range(objs.shape[0]):
        r = objs[i, 8] * margin
        cx, cy, cz = objs[i, 1] - ox, objs[i, 2] + objs[i, 4] - oy, objs[i, 3] - oz
        b = cx * dx + cy * dy + cz * dz
        disc = r * r - (cx * cx + cy * cy + cz * cz - b * b)
        if disc > 0.0:
            q = math.sqrt(disc)
            if b + q > 0.0:
                t0, t1 = min(t0, max(b - q, 0.0)), max(t1, b + q)
    if t1 < 0.0:
        return -1.0, -1.0
    return t0, t1


@njit(cache=True, fastmath=True)
def _march(objs, ox, oy, oz, dx, dy, dz):
    """Distance along the ray to the first object and that object's index, or (-1, -1)."""
    t, end = _bounds(objs, ox, oy, oz, dx, dy, dz, 1.0)
    if end < 0.0:
        return -1.0, -1
    for _ in range(96):
        d, i = _nearest(objs, ox + t * dx, oy + t * dy, oz + t * dz)
        if d < 0.0008 * t:
            return t, i
        t += d
        if t > end:
            break
    return -1.0, -1


@njit(cache=True, fastmath=True)
def _light_seen(objs, px, py, pz, lx, ly, lz):
    """Share of the light that reaches a point: 1 lit, 0 in full shadow, soft in between."""
    t, end = _bounds(objs, px, py, pz, lx, ly, lz, 1.35)
    if end < 0.0:
        return 1.0
    t, seen = max(t, 0.03), 1.0
    for _ in range(40):
        d, _i = _nearest(objs, px + t * lx, py + t * ly, pz + t * lz)
        seen = min(seen, 0.5 + 4.5 * d / t)
        if seen <= 0.0 or t > end:
            break
        t += min(max(abs(d), 0.04), 0.35)
    seen = min(max(seen, 0.0), 1.0)
    return seen * seen * (3.0 - 2.0 * seen)


@njit(cache=True, fastmath=True)
def _blob(x, y, cx, cy, rx, ry):
    return math.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


@njit(cache=True, fastmath=True)
def _sky(time, light, dx, dy, dz, out):
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
def _shade_object(objs, i, albedo, time, light, ground, px, py, pz, dx, dy, dz, out):
    """Colour of a point on object ``i`` seen along the direction d."""
    e, o = 0.002, objs[i]
    nx = _object_distance(o, px + e, py, pz) - _object_distance(o, px - e, py, pz)
    ny = _object_distance(o, px, py + e, pz) - _object_distance(o, px, py - e, pz)
    nz = _object_distance(o, px, py, pz + e) - _object_distance(o, px, py, pz - e)
    n = 1.0 / max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
    nx, ny, nz = nx * n, ny * n, nz * n
    lx, ly, lz = light[0, 0], light[0, 1], light[0, 2]
    lambert = max(nx * lx + ny * ly + nz * lz, 0.0)
    seen = 1.0
    if lambert > 0.0:
        g = 0.02
        seen = _light_seen(objs, px + nx * g, py + ny * g, pz + nz * g, lx, ly, lz)
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
            _sky(time, light, dx - f * nx, ry, -1.0, sky)
        else:
            for k in range(3):
                sky[k] = ground[k] * (light[2, k] + 0.4 * light[1, k])
        gloss = (1.1 * spec**90 + 0.22 * spec**14) * seen
        for k in range(3):
            out[k] = (
                out[k] * (1.0 - fresnel) + fresnel * sky[k] + gloss * (0.35 + 0.65 * light[1, k])
            )


@njit(cache=True, fastmath=True)
def _shade_ground(objs, kind, time, light, ground, px, pz, out):
    """Lit colour of dry ground at a point (y = 0), with its fixed gentle pattern."""
    lx, ly, lz = light[0, 0], light[0, 1], light[0, 2]
    seen = _light_seen(objs, px, 0.0, pz, lx, ly, lz)
    near = 1.0
    for i in range(objs.shape[0]):  # contact shade where an object meets the ground
        if objs[i, 2] < 0.1:
            d = _object_distance(objs[i], px, 0.03, pz)
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


@njit(cache=True, fastmath=True)
def _trace(objs, albedo, kind, time, light, ground, oy, oz, dx, dy, dz, out):
    """Colour along one camera ray, linear RGB into ``out``."""
    t, i = _march(objs, 0.0, oy, oz, dx, dy, dz)
    plane = -oy / dy if dy < -1e-4 else 1e9
    if i >= 0 and t < plane:
        _shade_object(
            objs, i, albedo, time, light, ground, t * dx, oy + t * dy, oz + t * dz, dx, dy, dz, out
        )
        return
    if plane > 200.0:
        _sky(time, light, dx, dy, dz, out)
        return
    px, pz = plane * dx, oz + plane * dz
    if kind != 3:
        _shade_ground(objs, kind, time, light, ground, px, pz, out)
    else:
        # Water mirrors what is above it; small waves bend the mirrored ray sideways and upwards.
        calm = math.exp(-0.05 * plane)
        rx = dx + 0.012 * calm * math.sin(9.0 * pz + 2.0 * px)
        ry = -dy + 0.010 * calm * math.sin(14.0 * pz + 1.5 * math.sin(2.0 * px))
        n = 1.0 / math.sqrt(rx * rx + ry * ry + dz * dz)
        rx, ry, rz = rx * n, ry * n, dz * n
        mirror = np.zeros(3, dtype=np.float32)
        s, j = _march(objs, px, 0.0, pz, rx, ry, rz)
        if j >= 0:
            _shade_object(
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
            _sky(time, light, rx, ry, rz, mirror)
        fresnel = 0.42 + 0.45 * (1.0 - min(ry * 1.5, 1.0)) ** 3
        seen = 0.65 + 0.35 * _light_seen(objs, px, 0.0, pz, light[0, 0], light[0, 1], light[0, 2])
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
