"""Which steps compute: exactly so many of a run's, placed from the noise schedule alone.

How far the denoised estimate is from where a gap's neighbours say it would be is modelled as

    e_j = √((λ_j − λ_a)(λ_b − λ_j)) · min(1, (λ_b − λ_a) / ℓ)

inside a gap (a, b) that is looked back over, with λ half the logarithm of the signal-to-noise
ratio, and neither distance above a longest: as if reused where the gap is wide, as if interpolated
where it is narrow. After the last computed step, where nothing is looked back, the step before it
takes b's place. Each error counts as much as the estimate moves there (a bell along λ) and as its
step's share of the final latents (``step_weight``), and a dynamic programme finds the least sum for
exactly n computed steps, in milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from tracache.caching.abscissa import step_weight
from tracache.caching.steps import require_budget


@dataclass(frozen=True)
class Bell:
    """How fast the guided estimate moves along λ, up to a constant factor.

    1 / (exp(−rise·(λ − peak)) + exp(fall·(λ − peak))).

    Attributes
    ----------
    peak : float, default -2.3
        Where it moves fastest, roughly.
    rise, fall : float, default 0.7
        How steeply it falls off towards the noise and towards the data, per unit of λ.
    length : float, default 2
        ℓ: across gaps this wide in λ nothing is gained by interpolating.
    reach : float, default 2.8
        Farther than this in λ from a computed step, an error grows no more. The first gap of a flow
        is that wide, since it begins in pure noise.
    """

    peak: float = -2.3
    rise: float = 0.7
    fall: float = 0.7
    length: float = 2.0
    reach: float = 2.8

    def speed(self, log_snr: Tensor) -> Tensor:
        """Height at each λ."""
        away = log_snr - self.peak
        return 1.0 / (torch.exp(-self.rise * away) + torch.exp(self.fall * away))


@dataclass(frozen=True)
class Motion:
    """How far an estimate moved between two computed steps.

    Attributes
    ----------
    start, end : float
        λ at both.
    moved : float
        ‖x̂0_end − x̂0_start‖ / ‖x̂0_end‖.
    """

    start: float
    end: float
    moved: float


#: Where a bell's peak, and its fall, are looked for; and how far from the prior's they readily go.
PEAKS = tuple(-4.0 + 0.25 * i for i in range(17))
FALLS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
PEAK_SPREAD, FALL_SPREAD, MOTION_SPREAD = 1.0, 0.3, 0.3


def fit_bell(motions: Sequence[Motion], prior: Bell) -> Bell:
    """Return the bell that explains what was measured, and is not far from another.

    Least squares of the logarithms, whatever the bell's height, over a grid of peaks and falls.

    Parameters
    ----------
    motions : sequence of Motion
        What was measured.
    prior : Bell
        What is known beforehand; the answer where nothing was measured.
    """

    def surprise(bell: Bell) -> float:
        away = (bell.peak - prior.peak) / PEAK_SPREAD, (bell.fall - prior.fall) / FALL_SPREAD
        logs = [math.log(max(m.moved, 1e-9) / _way(bell, m)) for m in motions]
        mean = sum(logs) / max(len(logs), 1)
        return math.hypot(*away) ** 2 + sum(((x - mean) / MOTION_SPREAD) ** 2 for x in logs)

    bells = [replace(prior, peak=peak, fall=fall) for peak in PEAKS for fall in FALLS]
    return min([prior, *bells], key=surprise)


def _way(bell: Bell, motion: Motion) -> float:
    """How far a bell says that the estimate moves, up to its height."""
    at = torch.linspace(motion.start, motion.end, 9, dtype=torch.float64)
    return float(torch.trapezoid(bell.speed(at), at))


def step_weights(log_snr: Sequence[float]) -> tuple[float, ...]:
    """How much an error of x̂0 at each step moves the final latents; see ``step_weight``."""
    sigmas = [math.exp(-point) for point in log_snr]
    return tuple(
        step_weight(here, following, "sample")
        for here, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True)
    )


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
    require_budget(steps, compute)
    if compute == steps:
        return tuple(range(steps))
    points = torch.tensor(log_snr, dtype=torch.float64)
    cost = torch.tensor(weights, dtype=torch.float64) * bell.speed(points)
    gaps = _gap_costs(points, cost, bell)
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
    total = reach[-1][:, None] + gaps + _tail_costs(points, cost, bell)
    before, last = divmod(int(total.argmin()), steps)
    path = [last, before]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    return tuple(reversed(path))


def _error(before: Tensor, after: Tensor, bell: Bell) -> Tensor:
    """e_j, given how far away in λ the computed steps on both sides are."""
    reused = (before.clamp(max=bell.reach) * after.clamp(max=bell.reach)).sqrt()
    return reused * ((before + after) / bell.length).clamp(max=1.0)


def _gap_costs(points: Tensor, cost: Tensor, bell: Bell) -> Tensor:
    """[steps, steps]: modelled error between computed steps a (row) < b (column)."""
    steps = len(points)
    out = torch.full((steps, steps), math.inf, dtype=torch.float64)
    inside = torch.ones(steps, steps).tril(-1).T.bool()
    for a in range(steps - 1):
        since = points[a + 1 :] - points[a]
        until = points[None, a + 1 :] - points[a + 1 :, None]
        error = _error(since[:, None].expand_as(until), until.clamp(min=0.0), bell)
        error = error * cost[a + 1 :, None] * inside[a + 1 :, a + 1 :]
        out[a, a + 1 :] = error.sum(dim=0)
    return out


def _tail_costs(points: Tensor, cost: Tensor, bell: Bell) -> Tensor:
    """[steps, steps]: modelled error after the last computed step (column), given the one before.

    Infinite where the row does not come before the column.
    """
    steps = len(points)
    out = torch.full((steps, steps), math.inf, dtype=torch.float64)
    for last in range(1, steps):
        since = points[last + 1 :] - points[last]
        past = points[None, last + 1 :] - points[:last, None]
        error = _error(since.expand_as(past), past, bell)
        out[:last, last] = (error * cost[last + 1 :]).sum(dim=1)
    return out
