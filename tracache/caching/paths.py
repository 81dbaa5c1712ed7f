"""Which steps compute, as a path through a graph of measured errors: LeMiCa's and DPCache's search.

The nodes are a run's steps, 0 … N−1, and its end, N. An edge from a to b computes step a and
then skips the steps up to b, so that a path from 0 to the end with n edges is a plan of n computed
steps.
What an edge costs has been measured beforehand; an infinite cost is an edge that there is not.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

#: The largest errors first: two paths are compared by these.
_Errors = tuple[float, ...]


def minimax_paths(errors: Sequence[Sequence[float]]) -> dict[int, tuple[int, ...]]:
    """Return, for each number of computed steps, the plan whose worst gap is least bad.

    Lexicographically (LeMiCa, arXiv 2511.00090): of plans with the same worst error the second
    worst decides, and so on. Since adding one error to two lists leaves their order as it was, the
    best path to a node goes on from best paths, and a dynamic programme finds it.

    Parameters
    ----------
    errors : sequence of sequence of float, [N, N + 1]
        ``errors[a][b]``: of the gap from step a to step b > a, or to the end; what is not beyond
        the diagonal is not read.

    Returns
    -------
    dict
        Number of computed steps → the plan; without those numbers that no path has.
    """
    end = len(errors)
    reach: dict[int, tuple[_Errors, tuple[int, ...]]] = {0: ((), ())}
    plans: dict[int, tuple[int, ...]] = {}
    for count in range(1, end + 1):
        further: dict[int, tuple[_Errors, tuple[int, ...]]] = {}
        for a, (worst, before) in reach.items():
            for b in range(a + 1, end + 1):
                if math.isinf(errors[a][b]):
                    continue
                found = (_with(worst, errors[a][b]), (*before, a))
                if b not in further or found < further[b]:
                    further[b] = found
        if end in further:
            plans[count] = further.pop(end)[1]
        reach = further
    return plans


def _with(worst: _Errors, error: float) -> _Errors:
    """Put an error in its place among others, the largest first."""
    place = bisect.bisect_left(worst, -error, key=lambda x: -x)
    return (*worst[:place], error, *worst[place:])


def least_sum_paths(costs: Sequence[Sequence[Sequence[float]]]) -> dict[int, tuple[int, ...]]:
    """Return, for each number of computed steps, the plan whose costs sum up to least.

    An edge's cost may depend on the computed step before it, from which what is skipped is
    predicted too (DPCache, arXiv 2602.22654); so the states of the dynamic programme are pairs of
    computed steps that follow each other.

    Parameters
    ----------
    costs : sequence of sequence of sequence of float, [N, N, N + 1]
        ``costs[i][j][k]``: of skipping from step j to step k, or to the end, where i was computed
        before j; ``costs[0][0][k]`` where nothing was.

    Returns
    -------
    dict
        Number of computed steps → the plan; without those numbers that no path has.
    """
    end = len(costs)
    reach: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {(0, 0): (0.0, (0,))}
    plans: dict[int, tuple[int, ...]] = {}
    for count in range(1, end + 1):
        further: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}
        ends: list[tuple[float, tuple[int, ...]]] = []
        for (i, j), (total, path) in reach.items():
            for k in range(j + 1, end + 1):
                cost = total + costs[i][j][k]
                if math.isinf(cost):
                    continue
                if k == end:
                    ends.append((cost, path))
                elif (j, k) not in further or (cost, (*path, k)) < further[j, k]:
                    further[j, k] = cost, (*path, k)
        if ends:
            plans[count] = min(ends)[1]
        reach = further
    return plans
