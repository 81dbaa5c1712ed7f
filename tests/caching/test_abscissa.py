"""Coordinates along the noise schedule, and what an error at a step does to the end."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

import tracache
from tests.tiny import denoise, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching.abscissa import ABSCISSAE, make_abscissa, noise_over_signal, step_weight


def test_coordinates_of_a_diffusion_schedule():
    made = DDIMScheduler()
    alpha = made.alphas_cumprod[300].double().item()
    sigma = math.sqrt((1 - alpha) / alpha)
    assert make_abscissa("timestep")(300.0, 4) == 300
    assert make_abscissa("step")(300.0, 4) == 4
    assert make_abscissa("sigma", made)(300.0, 4) == pytest.approx(sigma)
    assert make_abscissa("log-snr", made)(300.0, 4) == pytest.approx(
        0.5 * math.log(alpha / (1 - alpha))
    )
    low, high = (make_abscissa("sigma", made)(t, 0) for t in (300.0, 301.0))
    assert make_abscissa("sigma", made)(300.25, 0) == pytest.approx(low + 0.25 * (high - low))


def test_coordinates_of_rectified_flow():
    made = FlowMatchEulerDiscreteScheduler()
    assert make_abscissa("sigma", made)(750.0, 0) == pytest.approx(3)
    assert make_abscissa("log-snr", made)(500.0, 0) == pytest.approx(0)
    assert math.isfinite(make_abscissa("log-snr", made)(1000.0, 0))


def test_what_needs_the_noise_schedule_says_so():
    for name in ("log-snr", "sigma"):
        with pytest.raises(ValueError, match=r"needs the noise schedule: pass scheduler="):
            make_abscissa(name)
    with pytest.raises(ValueError, match="must be one of"):
        make_abscissa("time")
    model = pixart()
    tracache.attach(model, TraCacheConfig(stride="auto"))
    with pytest.raises(ValueError, match=r"stride='auto' needs the noise schedule"):
        denoise(model)


def test_the_last_step_replaces_what_was_there():
    made = DDIMScheduler()
    sigma = noise_over_signal(made, "a test")(20.0)
    # No noise is left after it, so nothing of the old latents stays.
    whole = step_weight(sigma, 0.0, "sample")
    assert step_weight(sigma, sigma / 2, "sample") == pytest.approx(whole / 2)
    assert step_weight(sigma, sigma, "sample") == 0


def test_early_errors_are_forgiven_more_than_late_ones():
    weights = [step_weight(s, 0.7 * s, "v_prediction") for s in (100.0, 30.0, 10.0, 3.0)]
    assert weights == sorted(weights)
    assert step_weight(5.0, 2.0, "epsilon") > step_weight(5.0, 2.0, "v_prediction")


@pytest.mark.parametrize("name", ABSCISSAE)
def test_a_straight_line_along_each_coordinate_is_predicted_exactly(name):
    """Features linear in the coordinate are extrapolated without error at order 1."""
    made = scheduler("ddim")
    made.set_timesteps(12)
    along = make_abscissa(name, made)
    points = [along(float(t), i) for i, t in enumerate(made.timesteps)]
    a, b = torch.randn(3, 4), torch.randn(3, 4)
    trajectory = tracache.caching.rules.trajectory.Trajectory(1)
    for point in points[3:5]:
        trajectory.observe(point, a + b * point)
    expected = a + b * points[6]
    assert torch.allclose(trajectory.predict(points[6], 1), expected, rtol=1e-3, atol=1e-3)
