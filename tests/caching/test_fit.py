"""Weights fitted to recorded runs."""

import pytest
import torch

import tracache
from tests.tiny import denoise, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching.fit import fit_weights, record_features
from tracache.caching.rules.trajectory import Trajectory

POINTS = [float(t) for t in range(950, -1, -50)]
FULL = (0, 3, 6, 10, 15, 19)


def test_a_parabola_gets_the_interpolating_weights():
    """Where the interpolating polynomial is exact, nothing fits better."""
    torch.manual_seed(0)
    runs = []
    for _ in range(3):
        a, b, c = torch.randn(3, 4, 30)
        runs.append([a + b * (t / 1000) + c * (t / 1000) ** 2 for t in POINTS])
    weights = fit_weights(runs, POINTS, FULL, 2)
    assert [len(row) for row in weights[:8]] == [0, 1, 1, 0, 2, 2, 0, 3]
    trajectory = Trajectory(2)
    for full in FULL[1:4]:
        trajectory.observe(POINTS[full], runs[0][full])
    factors = trajectory.factors(POINTS[12])
    assert weights[12][0] == pytest.approx(1, abs=1e-3)
    assert weights[12][1:] == pytest.approx(factors, rel=0.02)


def test_decay_is_learned_where_polynomials_only_repeat():
    """One point in the history, and features that shrink by a tenth per step."""
    torch.manual_seed(0)
    runs = [[torch.ones(5) * 0.9**i for i in range(len(POINTS))]]
    weights = fit_weights(runs, POINTS, (0,), 2)
    assert weights[4][0] == pytest.approx(0.9**4, rel=1e-4)


def test_fitted_weights_run_and_are_nearer_than_reuse():
    model, made = pixart(), scheduler("ddim")
    made.set_timesteps(12)
    with record_features(model) as features:
        full = denoise(model, made=made)
    assert len(features) == 12
    points = [float(t) for t in made.timesteps]
    weights = fit_weights([features], points, (0, 4, 8), 2)
    errors = {}
    for name, settings in {
        "learned": {"rule": "learned", "weights": weights},
        "reuse": {"rule": "reuse"},
    }.items():
        handle = tracache.attach(model, TraCacheConfig(full_steps=(0, 4, 8), **settings))
        errors[name] = (denoise(model, made=made) - full).norm()
        handle.detach()
    assert errors["learned"] < errors["reuse"]


def test_weights_for_another_schedule_are_refused():
    model = pixart()
    weights = ((), (1.0,), ())
    tracache.attach(model, TraCacheConfig(stride=2, rule="learned", weights=weights))
    with pytest.raises(RuntimeError, match="fitted for runs of 3 steps"):
        denoise(model)
    with pytest.raises(ValueError, match="give both or neither"):
        TraCacheConfig(rule="learned")
    with pytest.raises(ValueError, match="features of all 20 steps"):
        fit_weights([[torch.zeros(2)]], POINTS, FULL, 1)
