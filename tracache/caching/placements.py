"""Which of a run's steps compute, by name: the places of a budget of computed steps.

A placement is a function of the noise schedule and the budget alone, so that any space and any rule
may be had with any of them. Plans that were calibrated beforehand are one more, see
:func:`calibrated`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracache.caching.calibration import Calibration
from tracache.caching.plan import planned_steps, step_weights
from tracache.caching.steps import even_steps, require_budget

#: Spectrum's window: of the steps that compute in a row first, and of the first window after them.
WARM_UP, WINDOW = 5, 2

#: How finely the growth of its window is told: in parts of a step.
PARTS = 20


@dataclass(frozen=True)
class Placement:
    """Where a budget of computed steps goes.

    Attributes
    ----------
    place : callable
        ``place(log_snr, compute) -> steps``: exactly ``compute`` indices, rising from 0, of a run
        with these values of λ, rising.
    by_count : bool
        Whether of λ it reads nothing but how many there are.
    changes : bool
        Whether a run at the scheduler places the rest of its budget anew on its way.
    """

    place: Callable[[Sequence[float], int], tuple[int, ...]]
    by_count: bool = False
    changes: bool = False


def _planned(log_snr: Sequence[float], compute: int) -> tuple[int, ...]:
    points = tuple(log_snr)
    return planned_steps(points, step_weights(points), compute)


def leading_steps(steps: int, compute: int) -> tuple[int, ...]:
    """A third of the budget in a row first, the rest evenly after it, the last step among them.

    What VDE, ZEUS and DBCache call a warm-up and an interval, for an exact number of steps.

    Raises
    ------
    ValueError
        If the budget is not between 1 and the steps.
    """
    require_budget(steps, compute)
    last = max(round(compute / 3), 1) - 1
    return (*range(last), *(last + step for step in even_steps(steps - last, compute - last)))


def growing_steps(steps: int, compute: int) -> tuple[int, ...]:
    """Spectrum's (arXiv 2603.01623): the first compute in a row, then each window is wider.

    Published with five leading steps and windows of ⌊2 + α·j⌋ after the j-th: α = 0.75 is 14 of 50
    steps, α = 3 is 10. Here α follows from the budget, and so do the leading steps where the budget
    is less than ten or no α comes to it.

    Raises
    ------
    ValueError
        If the budget is not between 1 and the steps.
    """
    require_budget(steps, compute)
    usual = min(WARM_UP, (compute + 1) // 2)
    for warm_up in sorted(range(1, compute), key=lambda w: abs(w - usual)):

        def fewer(part: int, warm_up: int = warm_up) -> int:
            return -len(_windows(steps, warm_up, part / PARTS))

        growths = range(PARTS * steps)
        low, high = (cut(growths, -compute, key=fewer) for cut in (bisect_left, bisect_right))
        if low < high:
            # In the middle of those that come to it.
            return _windows(steps, warm_up, (low + high - 1) // 2 / PARTS)
    return tuple(range(compute))


def _windows(steps: int, warm_up: int, growth: float) -> tuple[int, ...]:
    chosen = list(range(warm_up))
    while (after := chosen[-1] + int(WINDOW + growth * (len(chosen) - warm_up))) < steps:
        chosen.append(after)
    return tuple(chosen)


#: Every placement, by name.
PLACEMENTS = {
    "planned": Placement(_planned),
    "measured": Placement(_planned, changes=True),
    "even": Placement(lambda log_snr, n: even_steps(len(log_snr), n), by_count=True),
    "leading": Placement(lambda log_snr, n: leading_steps(len(log_snr), n), by_count=True),
    "growing": Placement(lambda log_snr, n: growing_steps(len(log_snr), n), by_count=True),
}


def calibrated(found: Calibration) -> Placement:
    """Return the placement by plans that were calibrated, of LeMiCa or DPCache.

    It raises ValueError for another number of steps, and for a budget that has no plan.
    """

    def place(log_snr: Sequence[float], compute: int) -> tuple[int, ...]:
        steps = len(log_snr)
        found.check_steps(steps)
        require_budget(steps, compute)
        return found.plan(compute)

    return Placement(place, by_count=True)
