"""A feature's trajectory over timesteps: its history, its spreads, its extrapolation.

A history of fully computed points ``(τ_0, h_0)``, ``(τ_1, h_1)``, … (newest first) is kept in
Newton's form, as divided differences ``D_0 = h_0``, ``D_1``, …, so that the polynomial of degree n
through the newest n + 1 points is (TraCache, Eq. 6)

    φ_n(t) = D_0 + Σ_{m=1…n} D_m · Π_{j<m} (t − τ_j)

and two neighbouring degrees differ by one term: φ_n − φ_{n−1} = D_n · Π_{j<n} (t − τ_j). The
spread that chooses the order (Eq. 7) is therefore |Π_{j<n} (t − τ_j)| · std(|D_n|): std(|D_n|) is
taken once per computed step, and a skipped step needs a few scalars and one weighted sum.

Nothing here reads a value back from the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

#: An order: a number where it follows from the history's length alone, else a tensor of indices
#: that stays on the device.
Order = int | Tensor


@dataclass(frozen=True)
class Rule:
    """How a history becomes a prediction: ``h ≈ D_0 + Σ_n D_n · factor(t, τ, n)``.

    Attributes
    ----------
    gap : callable
        ``gap(points, n)``: what the n-th difference is divided by, with ``points`` newest first.
    factor : callable
        ``factor(t, points, n)``: what the n-th difference is multiplied by at timestep ``t``.
    """

    gap: Callable[[Sequence[float], int], float]
    factor: Callable[[float, Sequence[float], int], float]


#: The interpolating polynomial, for any spacing of the points (TraCache, Eq. 5 and 6).
LAGRANGE = Rule(
    gap=lambda points, n: points[0] - points[n],
    factor=lambda t, points, n: prod(t - point for point in points[:n]),
)

#: TaylorSeer (arXiv 2503.06923, Eq. 5): backward differences over the newest gap stand in for the
#: derivatives of a Taylor series, whose 1/n! is folded into the divisor here. It is LAGRANGE at
#: order 1; from order 2 on it is not the interpolating polynomial.
TAYLOR = Rule(
    gap=lambda points, n: n * (points[0] - points[1]),
    factor=lambda t, points, n: (t - points[0]) ** n,
)

#: Direct reuse of the newest point (FORA): every difference has weight nought.
REUSE = Rule(gap=LAGRANGE.gap, factor=lambda t, points, n: 0.0)

RULES = {"lagrange": LAGRANGE, "taylor": TAYLOR, "reuse": REUSE}


def spread_of(difference: Tensor) -> Tensor:
    """Standard deviation of ``|D_n|`` over all elements, as a scalar tensor (Eq. 7)."""
    return difference.abs().std(correction=0)


class Trajectory:
    """The history of one feature tensor, in Newton's form.

    Parameters
    ----------
    max_order : int
        Highest degree; ``max_order + 1`` tensors of the feature's shape are kept.
    rule : str, default "lagrange"
        A key of :data:`RULES`.

    Notes
    -----
    The newest features are kept as they come; the differences, where digits cancel, in float32
    (float64 features keep float64) whatever the model computes in.
    """

    def __init__(self, max_order: int, rule: str = "lagrange") -> None:
        self.max_order = max_order
        self.rule = RULES[rule]
        self.points: tuple[float, ...] = ()
        self.differences: tuple[Tensor, ...] = ()
        self.spreads: tuple[Tensor, ...] = ()

    @property
    def order(self) -> int:
        """Highest degree that the history allows so far."""
        return max(len(self.points) - 1, 0)

    def clear(self) -> None:
        """Forget the history and free its tensors."""
        self.points, self.differences, self.spreads = (), (), ()

    def observe(self, timestep: float, features: Tensor, *, spreads: bool = True) -> None:
        """Add a fully computed point.

        Parameters
        ----------
        timestep : float
            Abscissa of the point; different from every point in the history.
        features : Tensor
            Any shape, the same at every call.
        spreads : bool, default True
            Whether to take the spread of each difference, which order selection needs.

        Raises
        ------
        ValueError
            If the history already has this timestep.
        """
        if timestep in self.points:
            raise ValueError(f"timestep {timestep} is already in the history; reset it first")
        features = features.detach()
        self.points = (timestep, *self.points[: self.max_order])
        wide = torch.promote_types(features.dtype, torch.float32)
        fresh = [features]
        # D_n new = (D_{n-1} new − D_{n-1} old) / gap: each difference uses the one before it.
        for n, older in zip(range(1, len(self.points)), self.differences, strict=False):
            change = fresh[n - 1].to(wide) - older.to(wide)
            fresh.append(change.div_(self.rule.gap(self.points, n)))
        self.differences = tuple(fresh)
        self.spreads = tuple(spread_of(d) for d in fresh[1:]) if spreads else ()

    def factors(self, timestep: float) -> list[float]:
        """Weight of each difference D_1 … D_order at ``timestep``."""
        return [self.rule.factor(timestep, self.points, n) for n in range(1, self.order + 1)]

    def predict(self, timestep: float, order: Order) -> Tensor:
        """Extrapolate to ``timestep`` with the polynomial of degree ``order`` (Eq. 6).

        Parameters
        ----------
        timestep : float
            Where to evaluate.
        order : int or integer scalar Tensor
            Degree, at most :attr:`order`. A tensor is not read back: every term is summed, with
            weight nought beyond the order.

        Returns
        -------
        Tensor
            Shape and dtype of the features.
        """
        newest = self.differences[0]
        terms = list(zip(self.factors(timestep), self.differences[1:], strict=True))
        if isinstance(order, int):
            terms = [term for term in terms[:order] if term[0] != 0.0]
            if not terms:
                return newest
        prediction = newest.to(torch.promote_types(newest.dtype, torch.float32))
        for n, (factor, difference) in enumerate(terms, start=1):
            if isinstance(order, int):
                prediction = torch.add(prediction, difference, alpha=factor)
            else:
                weight = (order >= n).to(difference.dtype) * factor
                prediction = torch.addcmul(prediction, weight, difference)
        return prediction.to(newest.dtype)


def choose_order(
    spreads: Sequence[Tensor], factors: Sequence[float], local_extrapolation: bool
) -> Order:
    """Order whose residual φ_n − φ_{n−1} spreads least (Eq. 7); ties take the lower.

    Parameters
    ----------
    spreads : sequence of Tensor
        std(|D_n|) for n = 1, 2, …: scalars, or one value per block, all of one shape.
    factors : sequence of float
        Π_{j<n} (t − τ_j) for the same n.
    local_extrapolation : bool
        True takes φ_n, the finer of the two that the least residual compares; False takes
        φ_{n−1}, the one whose error the residual estimates.

    Returns
    -------
    int or Tensor
        A number where there is no choice (at most one candidate), else int64 of the spreads'
        shape, on their device.
    """
    lowest = 1 if local_extrapolation else 0
    if not spreads:
        return 0
    if len(spreads) == 1:
        return lowest
    residuals = torch.stack([s * abs(f) for s, f in zip(spreads, factors, strict=True)])
    return residuals.argmin(dim=0) + lowest
