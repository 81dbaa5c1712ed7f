"""Plans as paths through graphs of errors, each held against all the paths that there are."""

import itertools
import math

import numpy as np
import pytest

from tracache.caching.paths import least_sum_paths, minimax_paths


def all_plans(steps, count):
    return [(0, *rest) for rest in itertools.combinations(range(1, steps), count - 1)]


def gaps(plan, steps):
    return itertools.pairwise((*plan, steps))


def graph(steps, seed, levels):
    """Errors, some of them equal."""
    drawn = np.random.default_rng(seed).integers(1, levels, (steps, steps + 1))
    return drawn.astype(float).tolist()


@pytest.mark.parametrize("levels", [4, 1000])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_no_path_has_a_less_bad_worst_gap(steps, seed, levels):
    errors = graph(steps, seed, levels)

    def judge(plan):
        return sorted((errors[a][b] for a, b in gaps(plan, steps)), reverse=True)

    found = minimax_paths(errors)
    assert list(found) == list(range(1, steps + 1))
    for count, plan in found.items():
        assert judge(plan) == min(map(judge, all_plans(steps, count)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_no_path_has_a_smaller_sum(steps, seed):
    costs = np.random.default_rng(seed).random((steps, steps, steps + 1)).tolist()

    def judge(plan):
        return sum(
            costs[i][j][k] for i, j, k in zip((0, *plan), plan, (*plan[1:], steps), strict=False)
        )

    found = least_sum_paths(costs)
    assert list(found) == list(range(1, steps + 1))
    for count, plan in found.items():
        assert judge(plan) == pytest.approx(min(map(judge, all_plans(steps, count))))


def test_the_second_worst_decides_where_the_worst_are_equal():
    """Two computed steps after the first: 0 → 3 costs 5 either way."""
    errors = [[9.0] * 7 for _ in range(6)]
    errors[0][3] = 5.0
    errors[3][4], errors[4][6] = 4.0, 1.0
    errors[3][5], errors[5][6] = 3.0, 2.0
    assert minimax_paths(errors)[3] == (0, 3, 5)


def test_edges_that_there_are_not_are_not_taken():
    """No gap over more than two steps: six steps need two computed ones at least."""
    errors = [[1.0 if b - a <= 3 else math.inf for b in range(7)] for a in range(6)]
    found = minimax_paths(errors)
    assert list(found) == [2, 3, 4, 5, 6]
    assert found[2] == (0, 3)
    assert list(least_sum_paths([errors] * 6)) == [2, 3, 4, 5, 6]


def test_what_came_before_counts():
    """From steps 0 and 1 the rest is foretold exactly, from 0 and 2 it is not."""
    costs = [[[1.0] * 5 for _ in range(4)] for _ in range(4)]
    costs[0][1] = [0.0] * 5
    assert least_sum_paths(costs)[2] == (0, 1)
