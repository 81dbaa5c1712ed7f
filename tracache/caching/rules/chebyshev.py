"""Spectrum's basis (arXiv 2603.01623): a ridge fit of Chebyshev polynomials to all of a history.

The fit is linear in the features, and so a weighted sum of them: the weights follow from the
computed steps alone, and nothing is fitted in the features' size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tracache.caching.rules.trajectory import Order, Trajectory, weighted_sum

#: λ of the ridge, and the share of the fit beside the line through the newest two points.
RIDGE = 0.1
SHARE = 0.5


def fit_weights(points: Sequence[float], target: float, degree: int, ridge: float) -> Tensor:
    """Return the weight of each point's value in what a ridge fit finds at ``target``.

    φ(target) (ΦᵀΦ + λ 1)⁻¹ Φᵀ, with the rows φ(τ) = (T_0(τ), …, T_degree(τ)).

    Parameters
    ----------
    points : sequence of float
        Abscissae in [−1, 1].
    target : float
        Where the fit is evaluated.
    degree : int
        Highest of the Chebyshev polynomials.
    ridge : float
        λ, of all coefficients alike.

    Returns
    -------
    Tensor
        float64, as many as points.
    """
    at = torch.tensor([*points, target], dtype=torch.float64)
    rows = [torch.ones_like(at), at]
    while len(rows) <= degree:
        rows.append(2.0 * at * rows[-1] - rows[-2])
    basis = torch.stack(rows[: degree + 1], dim=1)
    known, wanted = basis[:-1], basis[-1]
    gram = known.T @ known + ridge * torch.eye(degree + 1, dtype=torch.float64)
    return known @ torch.linalg.solve(gram, wanted)


class Series(Trajectory):
    """The history of one feature tensor, all of it: one tensor for each computed step.

    Half of a prediction is the ridge fit, half is the line through the newest two points, as
    published. There, many steps compute first; here the polynomials are no more than the points,
    as for other rules while a history is short, and a single point is repeated.

    Parameters
    ----------
    max_order : int
        Highest degree; published with 4.

    Notes
    -----
    Abscissae are those of a run from −1 to 1. The features are kept as they come.
    """

    def __init__(self, max_order: int) -> None:
        super().__init__(max_order)

    @property
    def order(self) -> int:
        """Highest degree that the history allows so far."""
        return max(min(self.max_order, len(self.points) - 1), 0)

    def observe(self, point: float, features: Tensor, *, spreads: bool = True) -> None:
        """Add a fully computed point; see :meth:`Trajectory.observe`. It has no spreads."""
        if point in self.points:
            raise ValueError(f"timestep {point} is already in the history; reset it first")
        self.points = (point, *self.points)
        self.differences = (features.detach(), *self.differences)

    def weights(self, point: float) -> list[float]:
        """Weight of each computed step's features at an abscissa, newest first."""
        if len(self.points) == 1:
            return [1.0]
        fit = fit_weights(self.points, point, self.order, RIDGE)
        ahead = (point - self.points[0]) / (self.points[0] - self.points[1])
        line = torch.zeros_like(fit)
        line[0], line[1] = 1.0 + ahead, -ahead
        return (SHARE * fit + (1.0 - SHARE) * line).tolist()

    def predict(self, point: float, order: Order) -> Tensor:
        """Return the fit at an abscissa, in the shape and dtype of the features."""
        weights = self.weights(point)
        return weighted_sum(self.differences, weights[1:], len(weights) - 1, base=weights[0])
