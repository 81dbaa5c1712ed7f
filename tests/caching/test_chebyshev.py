"""Spectrum's basis: a ridge fit of Chebyshev polynomials to all of a history."""

import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev

import tracache
from tests.tiny import denoise, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching.rules.chebyshev import Series, fit_weights

WAY = {"rule": "chebyshev", "order": "fixed", "abscissa": "step"}


@pytest.mark.parametrize("ridge", [0.1, 1e-6])
@pytest.mark.parametrize("count, degree", [(2, 1), (7, 4), (3, 4)])
def test_weights_are_those_of_a_ridge_regression(ridge, count, degree):
    """NumPy's basis, and least squares with √λ below it."""
    rng = np.random.default_rng(count)
    points, values = np.sort(rng.uniform(-1, 0.8, count)), rng.normal(size=(count, 5))
    rows = np.vstack([chebyshev.chebvander(points, degree), ridge**0.5 * np.eye(degree + 1)])
    padded = np.vstack([values, np.zeros((degree + 1, 5))])
    coefficients = np.linalg.lstsq(rows, padded, rcond=None)[0]
    weights = fit_weights(points, 0.9, degree, ridge).numpy()
    expected = chebyshev.chebval(0.9, coefficients)
    np.testing.assert_allclose(weights @ values, expected, rtol=1e-5, atol=1e-7)


def test_without_a_ridge_polynomials_are_exact():
    points = [-1.0, -0.7, -0.4, 0.1, 0.3, 0.5]
    values = torch.tensor([2.0 - t + 3.0 * t**3 - t**4 for t in points], dtype=torch.float64)
    found = fit_weights(points, 0.7, 4, 1e-12) @ values
    assert found.item() == pytest.approx(2.0 - 0.7 + 3.0 * 0.7**3 - 0.7**4, abs=1e-8)


@pytest.mark.parametrize("steps, off", [(20, 0.146), (50, 0.079)])
def test_how_far_off_the_ridge_leaves_a_line(steps, off):
    """The manual's numbers: no line between −1 and 1 is missed by more than these two are."""
    series, errors = Series(4), []
    for step in range(steps):
        t = 2.0 * step / steps - 1.0
        line = torch.tensor([t, 1.0], dtype=torch.float64)
        if step % 3 == 0:
            series.observe(t, line)
        elif len(series.points) > 1:
            errors.append((series.predict(t, 0) - line).abs().max().item())
    assert max(errors) == pytest.approx(off, abs=5e-4)


def test_all_computed_steps_count_and_one_is_repeated():
    series = Series(4)
    features = [torch.randn(3, dtype=torch.bfloat16) for _ in range(7)]
    series.observe(-1.0, features[0])
    assert torch.equal(series.predict(-0.9, 0), features[0])
    for step, feature in enumerate(features[1:], start=1):
        series.observe(-1.0 + 0.2 * step, feature)
    assert (series.order, len(series.weights(0.5))) == (4, 7)
    assert all(abs(weight) > 1e-4 for weight in series.weights(0.5))
    assert series.predict(0.5, 0).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="already in the history"):
        series.observe(-1.0, features[0])


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"rule": "chebyshev"}, "set order='fixed' and abscissa='step'"),
        ({**WAY, "stride": "auto"}, "nor Chebyshev's, dmd or foca: give a whole number"),
    ],
)
def test_what_it_cannot_do_is_said(settings, words):
    with pytest.raises(ValueError, match=words):
        TraCacheConfig(**settings)


def test_it_must_know_how_long_the_run_is():
    with pytest.raises(ValueError, match="rule='chebyshev' needs the number of steps"):
        tracache.attach(pixart(), TraCacheConfig(**WAY))


def test_a_run_is_the_weighted_sum_of_its_blocks():
    """The last block's output at a skipped step, put together by hand."""
    model, made, seen = pixart(), scheduler("ddim"), []
    hook = model.transformer_blocks[-1].register_forward_hook(lambda *a: seen.append(a[-1]))
    tracache.attach(model, TraCacheConfig(**WAY, max_order=4, full_steps=(0, 2, 5)), scheduler=made)
    denoise(model, made=made, num_steps=8)
    hook.remove()
    # After the first forward, proofs run it again without its blocks.
    seen = [seen[0], *seen[-7:]]
    ran = [seen[i] for i in (5, 2, 0)]
    points = [2.0 * i / 8 - 1.0 for i in (5, 2, 0)]
    half = fit_weights(points, 2.0 * 7 / 8 - 1.0, 2, 0.1).tolist()
    line = [1.0 + 2.0 / 3.0, -2.0 / 3.0, 0.0]
    by_hand = sum(0.5 * (a + b) * x for a, b, x in zip(half, line, ran, strict=True))
    torch.testing.assert_close(seen[7], by_hand, rtol=1e-4, atol=1e-4)
