"""How clean the outline of a solid is: solidity, roundness and sharpness, from its colour alone.

A judge that names shapes is content with a lumpy sphere; whoever looks is not. What these say
depends on how the solid is told from the ground, so a figure means something beside the same figure
of the project's own renders, see :func:`tracache.training.images.outlines.compare_outlines`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

#: Half the width of the band of hues that count as a colour, degrees.
HUE_BAND = 28.0
#: Least saturation of a pixel that has a hue at all.
LEAST_SATURATION = 0.3
#: Pixels on either side of an outline in which its sharpness is taken.
BAND = 2


def find_solid(picture: NDArray[np.uint8], hue: float) -> Mask:
    """Return where a solid of a hue is: the largest connected region of it, without its holes.

    Parameters
    ----------
    picture : ndarray, uint8 [height, width, 3]
        sRGB.
    hue : float
        Degrees, 0 is red.

    Returns
    -------
    ndarray, bool [height, width]
        Nothing where no pixel has the hue.
    """
    rgb = picture.astype(np.float32) / 255.0
    high, low = rgb.max(-1), rgb.min(-1)
    spread = high - low
    safe = np.where(spread > 0, spread, 1.0)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    sector = np.select(
        [high == red, high == green],
        [(green - blue) / safe, 2.0 + (blue - red) / safe],
        4.0 + (red - green) / safe,
    )
    away = np.abs((60.0 * sector - hue + 180.0) % 360.0 - 180.0)
    saturated = spread > LEAST_SATURATION * np.maximum(high, 1e-6)
    found = _largest((away <= HUE_BAND) & saturated)
    # What no way leads to from the border is inside: highlights are white.
    return ~_reach(~np.pad(found, 1), (0, 0))[1:-1, 1:-1]


def solidity(mask: Mask) -> float:
    """Return the area of a region as a share of that of its convex hull; NaN of nothing."""
    if not mask.any():
        return float("nan")
    # Corners of pixels, so that a single pixel has an area.
    y, x = np.nonzero(mask)
    corners = np.concatenate([np.stack([x + i, y + j], 1) for i in (0, 1) for j in (0, 1)])
    hull = _hull(np.unique(corners, axis=0))
    x, y = hull.T.astype(np.float64)
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    return float(mask.sum() / area)


def roundness(mask: Mask) -> float:
    """Return the IoU of a region with the ellipse of its own area and moments; NaN of nothing."""
    if mask.sum() < 3:
        return float("nan")
    y, x = np.nonzero(mask)
    centre = np.array([x.mean(), y.mean()])
    covariance = np.cov(np.stack([x, y]), bias=True) + np.eye(2) / 12.0
    inverse = np.linalg.inv(covariance)
    grid = np.stack(np.meshgrid(np.arange(mask.shape[1]), np.arange(mask.shape[0])), -1) - centre
    # Of a filled ellipse, the variance along an axis is a quarter of the axis squared.
    ellipse = np.einsum("...i,ij,...j", grid, inverse, grid) <= 4.0
    return float((mask & ellipse).sum() / (mask | ellipse).sum())


def sharpness(picture: NDArray[np.uint8], mask: Mask) -> float:
    """Return the mean square of the Laplacian of the luminance along a region's outline.

    Parameters
    ----------
    picture : ndarray, uint8 [height, width, 3]
        sRGB.
    mask : ndarray, bool [height, width]
        The region; NaN is returned where it is nothing or everything.
    """
    band = _grow(mask, BAND) & ~_shrink(mask, BAND)
    band[:1], band[-1:], band[:, :1], band[:, -1:] = False, False, False, False
    if not band.any():
        return float("nan")
    light = picture.astype(np.float64) @ np.array([0.2126, 0.7152, 0.0722]) / 255.0
    padded = np.pad(light, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return float(np.square(around - 4.0 * light)[band].mean())


def _grow(mask: Mask, steps: int) -> Mask:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def _shrink(mask: Mask, steps: int) -> Mask:
    return ~_grow(~mask, steps)


def _reach(free: Mask, start: tuple[int, int]) -> Mask:
    """Where one gets to from a place, over its four neighbours, without leaving ``free``."""
    reached = np.zeros_like(free)
    reached[start] = free[start]
    while True:
        more = _grow(reached, 1) & free
        if (more == reached).all():
            return reached
        reached = more


def _largest(mask: Mask) -> Mask:
    best, left = np.zeros_like(mask), mask.copy()
    while left.sum() > best.sum():
        region = _reach(left, tuple(np.argwhere(left)[0]))
        left &= ~region
        if region.sum() > best.sum():
            best = region
    return best


def _hull(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Corners of the convex hull, in order; the points sorted by x, then y."""

    def half(ordered: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        chain: list[NDArray[np.int64]] = []
        for p in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return np.array(half(points) + half(points[::-1]))


def _turn(a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64]) -> int:
    return int((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
