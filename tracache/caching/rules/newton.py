"""Weight rules: how a history in divided differences becomes a prediction.

Every known predictor of this family is a linear combination of the history, so one engine serves
them all and each is one small entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Terms:
    """How a history becomes a prediction: ``h ≈ D_0 + Σ_n D_n · factor(t, τ, n)``.

    Attributes
    ----------
    gap : callable
        ``gap(points, n)``: what the n-th difference is divided by, with ``points`` newest first.
    factor : callable
        ``factor(t, points, n)``: what the n-th difference is multiplied by at abscissa ``t``.
    """

    gap: Callable[[Sequence[float], int], float]
    factor: Callable[[float, Sequence[float], int], float]


#: The interpolating polynomial, for any spacing of the points (TraCache, Eq. 5 and 6).
LAGRANGE = Terms(
    gap=lambda points, n: points[0] - points[n],
    factor=lambda t, points, n: prod(t - point for point in points[:n]),
)

#: TaylorSeer (arXiv 2503.06923, Eq. 5): backward differences over the newest gap stand in for the
#: derivatives of a Taylor series, whose 1/n! is folded into the divisor here. It is LAGRANGE at
#: order 1; from order 2 on it is not the interpolating polynomial.
TAYLOR = Terms(
    gap=lambda points, n: n * (points[0] - points[1]),
    factor=lambda t, points, n: (t - points[0]) ** n,
)

#: Contraction of the Hermite basis; 1/√2 makes the first order the linear one.
HERMITE_SIGMA = 0.5


def scaled_hermite(x: float, n: int, sigma: float = HERMITE_SIGMA) -> float:
    """HiCache's basis (arXiv 2508.16984): σⁿ · H_n(σx), with the physicists' polynomials H_n."""
    previous, current = 0.0, 1.0
    for k in range(n):
        previous, current = current, 2.0 * sigma * x * current - 2.0 * k * previous
    return sigma**n * current


#: HiCache: Taylor's differences in a contracted Hermite basis instead of powers. The polynomials
#: are not homogeneous, so the unit matters: the abscissa should be the step's index.
HERMITE = Terms(
    gap=TAYLOR.gap,
    factor=lambda t, points, n: scaled_hermite(t - points[0], n),
)

#: ZEUS (arXiv 2604.01552): the newest point plus its difference at every other skipped step, the
#: newest point at those between, so that nothing is extrapolated from an extrapolation. As in its
#: published code the difference is not divided by the steps it was taken over: a straight line is
#: followed exactly at the first step after two that computed in a row, and nowhere else.
ZEUS = Terms(
    gap=lambda points, n: 1.0,
    factor=lambda t, points, n: float(n == 1 and round(t - points[0]) % 2 == 1),
)

#: Direct reuse of the newest point (FORA): every difference has weight nought.
REUSE = Terms(gap=LAGRANGE.gap, factor=lambda t, points, n: 0.0)

NEWTON = {
    "lagrange": LAGRANGE,
    "taylor": TAYLOR,
    "hermite": HERMITE,
    "zeus": ZEUS,
    "reuse": REUSE,
}
