"""Where rays meet the scene's objects: signed distance fields, marched along; compiled by numba."""

from __future__ import annotations

import math

from numba import njit

# solid, x, y (of the base), z, scale, cos(yaw), colour, shiny, bounding radius, sin(yaw),
# turn of the stripe, striped
OBJECT_FIELDS = 12


@njit(cache=True, fastmath=True)
def object_distance(o, px, py, pz):
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
        d = object_distance(objs[i], px, py, pz)
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
def march(objs, ox, oy, oz, dx, dy, dz):
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
def light_seen(objs, px, py, pz, lx, ly, lz):
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
