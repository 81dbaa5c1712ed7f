"""Coordinates in which trajectories are followed and looked back along, and lines through them."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Standard deviation of the data's coarse structure, as in DATA_SCALES.
SCALE = 10.0


def gaussian_data(log_snr: float, scale: float = SCALE) -> float:
    """Coordinate in which the estimate of Gaussian data moves along a straight line.

    Of data with standard deviation d, x̂0 along the probability flow is d / √(d² + r²) times its
    end, r = e^(−λ) the noise over signal. Between 0 at pure noise and 1 at the data, so that the
    noisiest step's infinite λ is a point like others.

    Parameters
    ----------
    log_snr : float
        λ.
    scale : float
        d; of coarse structure, where many elements of a latent move together.
    """
    return 1.0 / math.hypot(1.0, math.exp(-log_snr) / scale)


def gaussian_noise(log_snr: float, scale: float = SCALE) -> float:
    """Coordinate in which the noise estimate of Gaussian data moves along a straight line.

    ε̂ along the probability flow of :func:`gaussian_data` is r / √(d² + r²) times its beginning;
    negated, so that it rises.
    """
    ratio = math.exp(-log_snr) / scale
    return -ratio / math.hypot(1.0, ratio)


def interpolation(point: float, points: Sequence[float]) -> list[float]:
    """Lagrange's weights of the values at some abscissae in the polynomial through them."""
    weights = []
    for k, here in enumerate(points):
        weight = 1.0
        for j, other in enumerate(points):
            if j != k:
                weight *= (point - other) / (here - other)
        weights.append(weight)
    return weights
