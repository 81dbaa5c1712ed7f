"""Where a budget of computed steps goes: exactly so many, whatever the placement."""

import math

import pytest

import tracache
from tests.tiny import denoise, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching.config import BLOCK_PLACEMENTS
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.methods.tracache import Forecast
from tracache.caching.placements import PLACEMENTS, growing_steps, leading_steps
from tracache.caching.spaces import levels_of


def schedule(steps):
    return [6.0 * math.tanh(3.0 * (i / steps - 0.5)) for i in range(steps)]


@pytest.mark.parametrize("name", PLACEMENTS)
def test_exactly_so_many_steps_compute_the_first_among_them(name):
    for steps in (1, 2, 3, 7, 20, 50):
        for compute in range(1, steps + 1):
            chosen = PLACEMENTS[name].place(schedule(steps), compute)
            assert len(chosen) == compute
            assert list(chosen) == sorted(set(chosen))
            assert (chosen[0], max(chosen) < steps) == (0, True)


@pytest.mark.parametrize("name", PLACEMENTS)
@pytest.mark.parametrize("compute", [0, 21])
def test_a_budget_that_a_run_has_not_is_refused(name, compute):
    with pytest.raises(ValueError, match="between 1 and the run's 20 steps"):
        PLACEMENTS[name].place(schedule(20), compute)


@pytest.mark.parametrize("growth, compute", [(0.75, 14), (3.0, 10)])
def test_spectrums_window_at_its_own_settings(growth, compute):
    """Its forward, told plainly: five steps, then one where the window has been skipped."""
    window, skipped, computed = 2.0, 0, []
    for step in range(50):
        full = step < 5 or (skipped + 1) % math.floor(window) == 0
        if full and step >= 5:
            window += growth
        skipped = 0 if full else skipped + 1
        computed += [step] if full else []
    assert growing_steps(50, compute) == tuple(computed)


def test_a_warm_up_an_interval_and_the_last_step():
    assert leading_steps(20, 8) == (0, 1, 2, 5, 9, 12, 16, 19)
    assert leading_steps(50, 22)[:8] == (0, 1, 2, 3, 4, 5, 6, 9)


@pytest.mark.parametrize("name", PLACEMENTS)
def test_what_needs_no_schedule_is_known_from_the_number_of_steps(name):
    config = PlannedConfig(7, placement=name)
    known = config.plan_steps(20)
    assert (known is None) == (not PLACEMENTS[name].by_count)
    assert known in (None, config.place(schedule(20)))
    assert config.budget(20) == 7


@pytest.mark.parametrize("name", BLOCK_PLACEMENTS)
def test_blocks_compute_where_the_schedule_says(name):
    """The same steps as for trajectories at the scheduler, in another space."""
    made, model = scheduler("ddim"), pixart()
    config = TraCacheConfig(compute=5, placement=name)
    handle = tracache.attach(model, config, scheduler=made)
    denoise(model, made=made)
    steps = PLACEMENTS[name].place([level.log_snr for level in levels_of(made)], 5)
    assert tuple(handle.trace.computed.nonzero()[0]) == steps
    assert config.budget(12) == 5


@pytest.mark.parametrize("done, left", [(3, (0, 3, 6, 8)), (6, (0, 3, 5)), (11, (0,))])
def test_a_second_denoiser_goes_on_in_the_same_plan(done, left):
    """A history begins with a computed step: its first one in the plan is moved there."""
    config = TraCacheConfig(compute=6, placement="leading", order="fixed")
    forecast = Forecast.__new__(Forecast)
    forecast.config = config
    assert config.plan_steps(12) == (0, 1, 4, 6, 9, 11)
    assert forecast._place(12 - done, done) == left


def test_what_a_placement_needs_is_said():
    with pytest.raises(ValueError, match="say how many with compute"):
        TraCacheConfig(placement="planned")
    with pytest.raises(ValueError, match="placement must be one of planned, even, leading"):
        TraCacheConfig(compute=5, placement="measured")
    model = pixart()
    tracache.attach(model, TraCacheConfig(compute=5, placement="planned"), num_steps=12)
    with pytest.raises(ValueError, match="'planned' needs the noise schedule: pass scheduler"):
        denoise(model, num_steps=12)
