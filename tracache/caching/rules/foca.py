"""FoCa's rule (arXiv 2508.16211): forecast, then calibrate, as in Heun's method.

As cache-dit has it: with F the newest computed features, and j steps after them,

    P_j = F + g_j · (A + D_j),    g_j = j/2 up to three steps, then 4.5/j

where A is the change from the computed features before F, and D_j that between the two newest
values, computed or predicted: P_{j−1} − P_{j−2}, and for the first step F less what was handed on
at the step before. Every P_j is thus a fixed sum of F, A and that first difference D.

Changes are those of however many steps lie between: they are not divided by the gap, so that a
straight line is followed exactly, up to three steps, where two computed steps come in a row, and
else overshot.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tracache.caching.rules.trajectory import WIDE, Order, Trajectory, weighted_sum

#: Steps ahead after which a prediction bends back to what was computed.
HORIZON = 3


def heun_weights(ahead: int) -> tuple[float, float]:
    """Weights of A and of D in the prediction so many steps after a computed one."""
    last = newest = (0.0, 0.0)
    # Of D_j: first what was handed on before the computed step.
    change = (0.0, 1.0)
    for j in range(1, ahead + 1):
        share = min(j, HORIZON) / 2 * min(HORIZON / j, 1.0)
        last, newest = newest, (share * (1.0 + change[0]), share * change[1])
        change = (newest[0] - last[0], newest[1] - last[1])
    return newest


class ForecastCalibrate(Trajectory):
    """A history of three tensors: the newest computed features and two differences.

    Notes
    -----
    Abscissae are indices of steps.
    """

    def __init__(self) -> None:
        super().__init__(max_order=1)

    @property
    def order(self) -> int:
        """1 as soon as two steps have computed."""
        return min(len(self.points), 2) - 1 if self.points else 0

    def observe(self, point: float, features: Tensor, *, spreads: bool = True) -> None:
        """Add a fully computed point; see :meth:`Trajectory.observe`. It has no spreads."""
        if point in self.points:
            raise ValueError(f"timestep {point} is already in the history; reset it first")
        features = features.detach()
        if self.points:
            wide = torch.promote_types(features.dtype, WIDE)
            handed = self.predict(point - 1, self.order)
            changes = (features.to(wide) - before.to(wide) for before in (self.newest, handed))
            self.differences = (features, *changes)
        else:
            self.differences = (features,)
        self.points = (point, *self.points[:1])

    def predict(self, point: float, order: Order) -> Tensor:
        """Return the prediction at a later step, in the shape and dtype of the features."""
        ahead = round(point - self.points[0])
        used = self.differences
        return weighted_sum(used, heun_weights(ahead)[: len(used) - 1], len(used) - 1)
