"""Every rule by name: of blocks' trajectories, and of the scheduler's."""

from __future__ import annotations

from collections.abc import Callable

from tracache.caching.rules.chebyshev import Series
from tracache.caching.rules.dmd import Exponentials
from tracache.caching.rules.foca import ForecastCalibrate
from tracache.caching.rules.line import Line
from tracache.caching.rules.moment import Along, Moment, Rule
from tracache.caching.rules.trajectory import Trajectory
from tracache.caching.rules.vde import AlongAndAcross

#: Of a block, those that are no row of a table: they choose no order, and go along the steps. Each
#: is made from a highest order, which the last two have no use for.
SERIES: dict[str, Callable[[int], Trajectory]] = {
    "chebyshev": Series,
    "dmd": lambda max_order: Exponentials(),
    "foca": lambda max_order: ForecastCalibrate(),
}

#: Of a block, all.
BLOCK_RULES = ("lagrange", "taylor", "hermite", *SERIES, "learned", "reuse")


def _timestep(at: Moment) -> float:
    return at.timestep


def _step(at: Moment) -> float:
    return float(at.step)


def share_of_run(step: float, steps: int) -> float:
    """Where a step lies in a run, from −1 to 1: where Chebyshev polynomials live."""
    return 2.0 * step / steps - 1.0


#: At the scheduler: rule → a fresh one, from a highest order, over the coordinate that it was
#: published with.
RULES: dict[str, Callable[[int], Rule]] = {
    "measured": lambda n: Line("measured"),
    "line": lambda n: Line("line"),
    "reuse": lambda n: Line("reuse"),
    "lagrange": lambda n: Along(Trajectory(n, "lagrange"), _timestep),
    "taylor": lambda n: Along(Trajectory(n, "taylor"), _step),
    "hermite": lambda n: Along(Trajectory(n, "hermite"), _step),
    "chebyshev": lambda n: Along(Series(n), lambda at: share_of_run(at.step, at.steps)),
    "dmd": lambda n: Along(Exponentials(), _step),
    "foca": lambda n: Along(ForecastCalibrate(), _step),
    "zeus": lambda n: Along(Trajectory(1, "zeus"), _step),
    "vde": lambda n: AlongAndAcross(),
}
