"""Which steps compute: exactly so many of a run's, placed from the noise schedule alone.

How far the denoised estimate is from where a gap's neighbours say it would be is modelled as

    e_j = min(λ_j − λ_a, (λ_j − λ_a)(λ_b − λ_j) / ℓ)

inside a gap (a, b) that is looked back over: as if reused where the gap is wide, as if interpolated
linearly where it is narrow, with λ half the logarithm of the signal-to-noise ratio. After the last
computed step, where nothing is looked back, λ_b − λ_j becomes λ_j − λ_p, p the computed step
before. Each error counts as much as the estimate moves there (a bell along λ) and as its step's
share of the final latents (``step_weight``), and a dynamic programme finds the least sum for
exactly n computed steps, in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tracache.caching.abscissa import step_weight


@dataclass(frozen=True)
class Bell:
    """How fast the guided estimate moves along λ, up to a constant factor.

    1 / (exp(−rise·(λ − peak)) + exp(fall·(λ − peak))).

    Attributes
    ----------
    peak : float, default -2
        Where it moves fastest, roughly.
    rise, fall : float, defaults 1.4, 0.7
        How steeply it falls off towards the noise and towards the data, per unit of λ.
    length : float, default 1.6
        ℓ: over this much of λ the estimate's slope changes as much as the slope itself is.
    """

    peak: float = -2.0
    rise: float = 1.4
    fall: float = 0.7
    length: float = 1.6

    def speed(self, log_snr: Tensor) -> Tensor:
        """Height at each λ."""
        away = log_snr - self.peak
        return 1.0 / (torch.exp(-self.rise * away) + torch.exp(self.fall * away))


def step_weights(log_snr: Sequence[float]) -> tuple[float, ...]:
    """How much an error of x̂0 at each step moves the final latents; see ``step_weight``."""
    sigmas = [math.exp(-point) for point in log_snr]
    return tuple(
        step_weight(here, following, "sample")
        for here, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True)
    )


def even_steps(steps: int, compute: int) -> tuple[int, ...]:
    """Exactly ``compute`` of ``steps``, evenly spaced, the first and (from 2) the last among them.

    Raises
    ------
    ValueError
        If it is not between 1 and the steps.
    """
    _check(steps, compute)
    if compute == 1:
        return (0,)
    return tuple((i * (steps - 1) + (compute - 1) // 2) // (compute - 1) for i in range(compute))


@lru_cache(maxsize=256)
def planned_steps(
    log_snr: tuple[float, ...],
    weights: tuple[float, ...],
    compute: int,
    bell: Bell = Bell(),
) -> tuple[int, ...]:
    """Exactly ``compute`` steps, the first among them, that make the modelled error least.

    Parameters
    ----------
    log_snr : tuple of float
        λ at each step, rising.
    weights : tuple of float
        Of an error of the denoised estimate at each step, as :func:`step_weights` gives them.
    compute : int
        Steps that compute.
    bell : Bell
        The model of the estimate's motion.

    Raises
    ------
    ValueError
        If ``compute`` is not between 1 and the steps.
    """
    steps = len(log_snr)
    _check(steps, compute)
    if compute == steps:
        return tuple(range(steps))
    points = torch.tensor(log_snr, dtype=torch.float64)
    cost = torch.tensor(weights, dtype=torch.float64) * bell.speed(points)
    gaps = _gap_costs(points, cost, bell.length)
    if compute == 1:
        return (0,)
    # reach[k][b]: least cost up to b, computed as the one after k others.
    reach = [torch.full((steps,), math.inf, dtype=torch.float64)]
    reach[0][0] = 0.0
    came: list[Tensor] = []
    for _ in range(compute - 2):
        least, origin = (reach[-1][:, None] + gaps).min(dim=0)
        reach.append(least)
        came.append(origin)
    # The last one with the one before it: what is extrapolated after them depends on both.
    total = reach[-1][:, None] + gaps + _tail_costs(points, cost, bell.length)
    before, last = divmod(int(total.argmin()), steps)
    path = [last, before]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    return tuple(reversed(path))


def _check(steps: int, compute: int) -> None:
    if not 1 <= compute <= steps:
        raise ValueError(f"compute must be between 1 and the run's {steps} steps; got {compute}")


def _gap_costs(points: Tensor, cost: Tensor, length: float) -> Tensor:
    """[steps, steps]: modelled error between computed steps a (row) < b (column)."""
    steps = len(points)
    out = torch.full((steps, steps), math.inf, dtype=torch.float64)
    inside = torch.ones(steps, steps).tril(-1).T.bool()
    for a in range(steps - 1):
        since = points[a + 1 :] - points[a]
        until = points[None, a + 1 :] - points[a + 1 :, None]
        error = torch.minimum(since[:, None].expand_as(until), since[:, None] * until / length)
        error = error * cost[a + 1 :, None] * inside[a + 1 :, a + 1 :]
        out[a, a + 1 :] = error.sum(dim=0)
    return out


def _tail_costs(points: Tensor, cost: Tensor, length: float) -> Tensor:
    """[steps, steps]: modelled error after the last computed step (column), given the one before.

    Infinite where the row does not come before the column.
    """
    steps = len(points)
    out = torch.full((steps, steps), math.inf, dtype=torch.float64)
    for last in range(1, steps):
        since = points[last + 1 :] - points[last]
        past = points[None, last + 1 :] - points[:last, None]
        error = torch.minimum(since.expand_as(past), since * past / length)
        out[:last, last] = (error * cost[last + 1 :]).sum(dim=1)
    return out
