"""How fast arms are beside one another: rounds in which each of them runs once.

A machine is slower in one second than in the next. Arms that were timed in different seconds, or on
different days, say little of one another; arms that take turns share whatever the machine does, and
a median leaves out a round that went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

#: Fewest and most rounds; one alone says nothing of how far they are apart.
LEAST, MOST = 3, 15

#: A longer round, seconds, is not repeated: whoever waits for a large model waits for its pictures.
LONGEST_ROUND_S = 2.0

#: Upper over lower quartile of the rounds' speed-ups from which one says "about".
WIDE = 1.15

#: Of the speed-up that MACs allow: beyond, and below, the clock shows something else.
MOST_SHARE, LEAST_SHARE = 1.05, 0.5


@dataclass(frozen=True)
class Timing:
    """How fast an arm is beside full compute, from rounds in which both ran.

    Attributes
    ----------
    rounds : int
        How many.
    seconds : float
        Median of its denoising loop.
    speed_up : float
        Full compute's median over this one.
    low, high : float
        Quartiles of the speed-ups of single rounds: the middle half of them lies between.
    """

    rounds: int
    seconds: float
    speed_up: float
    low: float
    high: float

    @property
    def rough(self) -> bool:
        """Whether it is to be read as "about": from too few rounds, or from ones that disagree."""
        return self.rounds < LEAST or self.high > WIDE * self.low


def count_rounds(round_s: float, timing_s: float) -> int:
    """How many rounds are run for no other reason than to time them.

    Parameters
    ----------
    round_s : float
        How long one takes, by estimate, seconds.
    timing_s : float
        How long all of them should, seconds; 0 allows none.

    Returns
    -------
    int
        As many as fit, three at least; 0 where a round is too long.
    """
    if timing_s == 0 or round_s > LONGEST_ROUND_S:
        return 0
    return min(MOST, max(LEAST, int(timing_s / round_s)))


def compare_times(seconds: Mapping[str, Sequence[float]], reference: str) -> dict[str, Timing]:
    """Sum up the rounds of every arm.

    Parameters
    ----------
    seconds : mapping
        Arm → its time in each round, in the rounds' order; as many for every arm.
    reference : str
        The arm that all are held against.
    """
    full = seconds[reference]
    found = {}
    for arm, own in seconds.items():
        each = [a / b for a, b in zip(full, own, strict=True)]
        low, _, high = quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
        found[arm] = Timing(len(own), median(own), median(full) / median(own), low, high)
    return found


def doubt(speed_up: float, allowed: float) -> str:
    """Say why a speed-up does not follow from what was left out; empty where it may.

    Parameters
    ----------
    speed_up : float
        As the clock has it.
    allowed : float
        Multiply–accumulates of full compute over the arm's: the most that leaving out can gain.
    """
    share = speed_up / allowed
    if share > MOST_SHARE:
        return "more than its MACs allow: noise"
    if share < LEAST_SHARE:
        return "less than half of what its MACs allow: noise, or work that is not counted"
    return ""
