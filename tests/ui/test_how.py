"""The curves of "How it works", and what the text says of them."""

import numpy as np
import pytest
import torch

from tracache.caching.rules.trajectory import Trajectory
from tracache.experiments.curves import pick, roughness
from tracache.ui.how_page import choice_chart, toy_errors
from tracache.ui.widgets.forecast import COMPUTED, STEPS, WAYS, curves


def evenly(many):
    return [int(i * (STEPS - 1) / (many - 1) + 0.5) for i in range(many)]


def errors(values, known):
    """Mean error of each way at the skipped steps, as a share of the curve's height."""
    values = torch.tensor(values, dtype=torch.float64)
    found = {}
    for way, _, order in WAYS:
        trajectory, away = Trajectory(order), []
        for step in range(STEPS):
            if step in known:
                trajectory.observe(float(step), values[step : step + 1], spreads=False)
                continue
            guess = trajectory.predict(float(step), trajectory.order).item()
            after = [k for k in known if k > step]
            if way == "back" and after:
                at = [*[k for k in known if k < step][-2:], after[0]]
                guess = np.polyval(np.polyfit(at, values[at].numpy(), len(at) - 1), step)
            away.append(abs(guess - values[step].item()))
        found[way] = float(np.mean(away) / (values.max() - values.min()).item())
    return found


@pytest.fixture(scope="module")
def drawn():
    return {curve["title"]: curve["values"] for curve in curves()}


def test_every_curve_has_as_many_steps(drawn):
    assert len(drawn) == 4
    assert {len(values) for values in drawn.values()} == {STEPS}


def test_fewer_computed_steps_are_further_off(drawn):
    for values in drawn.values():
        few, many = errors(values, evenly(4)), errors(values, evenly(16))
        assert all(many[way] < few[way] for way in few)


def test_orders_help_where_the_curve_is_smooth_and_overshoot_at_a_bend(drawn):
    smooth = errors(drawn["Smooth"], evenly(COMPUTED))
    assert smooth["order-2"] < smooth["order-1"] < smooth["order-0"]
    bend = errors(drawn["With a bend"], evenly(COMPUTED))
    assert bend["order-3"] > bend["order-2"] > bend["order-1"] > bend["order-0"]


def test_looking_back_removes_most_of_it(drawn):
    for values in drawn.values():
        found = errors(values, evenly(COMPUTED))
        assert found["back"] < 0.6 * min(found["order-0"], found["order-1"])


def test_the_chart_has_a_bar_for_each_step():
    chart = choice_chart()
    assert chart.count("<i class") == 26 + 1 + len({order for _, order in toy_errors().values()})
    assert chart.count("height:") == len(toy_errors())


def test_what_is_recorded_moves_and_is_as_rough_as_asked():
    steps = torch.arange(10.0)[:, None]
    still = torch.zeros(10, 18)
    line, zigzag = steps.clone(), steps + 3 * (steps % 2)
    features = torch.cat([still, line, zigzag], 1)
    assert roughness(features)[18] == 0
    assert torch.equal(pick(features, 0.0), line[:, 0])
    assert torch.equal(pick(features, 1.0), zigzag[:, 0])
