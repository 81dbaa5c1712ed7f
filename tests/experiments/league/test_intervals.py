"""Means and ranks of data whose intervals are known."""

import numpy as np
import pytest

from tracache.experiments.league.intervals import draw, mean_of, ranks_of, ratio_of


def test_draws_are_the_same_again_and_of_all_prompts():
    drawn = draw(5, draws=400)
    assert (drawn == draw(5, draws=400)).all()
    assert set(drawn.ravel()) == set(range(5))
    assert not (drawn == draw(5, draws=400, seed=1)).all()
    with pytest.raises(ValueError, match="a prompt at least"):
        draw(0)


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    rng = np.random.default_rng(3)
    values = rng.normal(2.0, 1.0, 400)
    found = mean_of(values, draw(400))
    # 1.96 standard deviations of a mean of 400, to each side.
    wide = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - wide, abs=0.02)
    assert found.high == pytest.approx(values.mean() + wide, abs=0.02)


def test_a_ratio_is_of_the_same_prompts():
    others = np.array([0.1, 0.5, 2.0, 9.0])
    # Twice the others' on each prompt: twice on the mean, whoever is drawn.
    found = ratio_of(2 * others, others, draw(4))
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    nought = ratio_of(np.zeros(4), np.zeros(4), draw(4))
    assert (nought.value, nought.low, nought.high) == (1.0, 1.0, 1.0)


def test_ranks_are_sure_where_every_prompt_says_the_same():
    base = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    errors = np.stack([base + 0.2, base, base + 0.1, base])
    found = ranks_of(errors, draw(5))
    assert [(r.value, r.low, r.high) for r in found] == [(4, 4, 4), (1, 1, 1), (3, 3, 3), (1, 1, 1)]


def test_ranks_are_unsure_where_prompts_disagree():
    errors = np.array([[1.0, 0.0] * 8, [0.0, 1.01] * 8, [5.0] * 16])
    first, second, last = ranks_of(errors, draw(16))
    assert (first.value, second.value) == (1, 2)
    assert (first.low, first.high) == (second.low, second.high) == (1, 2)
    assert (last.value, last.low, last.high) == (3, 3, 3)


def test_what_does_not_count_pushes_nobody_down():
    errors = np.array([[0.1], [0.2], [0.3], [0.25]])
    found = ranks_of(errors, draw(1), [False, True, True, False])
    assert [rank.value for rank in found] == [1, 1, 2, 2]
