"""The maths: exact polynomials, the literal sums, the choice of order."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.literal import lagrange, spread
from tracache.caching.rules.newton import NEWTON, scaled_hermite
from tracache.caching.rules.trajectory import (
    Trajectory,
    choose_order,
    power_order,
    spread_of,
    weighted_sum,
)

timesteps = st.lists(
    st.floats(0, 1000, allow_nan=False), min_size=8, max_size=8, unique_by=lambda t: round(t / 10)
)


def observed(points, values, max_order, rule="lagrange"):
    trajectory = Trajectory(max_order, rule)
    for point, value in zip(points, values, strict=True):
        trajectory.observe(point, value)
    return trajectory


@settings(deadline=None)
@given(timesteps, st.integers(0, 5), st.integers(0, 2**31))
def test_polynomials_up_to_the_order_are_exact(times, degree, seed):
    """A trajectory of degree ≤ n is predicted to float32 rounding, however uneven the steps."""
    coefficients = torch.randn(
        degree + 1, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )

    def h(t):
        return sum(c * (t / 1000) ** n for n, c in enumerate(coefficients))

    *points, target = sorted(times, reverse=True)
    points = points[-6:]
    trajectory = observed(points, [h(t).float() for t in points], 5)
    prediction = trajectory.predict(target, 5)
    # Extrapolation multiplies the inputs' rounding by the Lebesgue function of the points.
    amplification = sum(
        abs(math.prod((target - u) / (t - u) for u in points if u != t)) for t in points
    )
    scale = max(h(t).abs().max().item() for t in [*points, target])
    tolerance = 16 * torch.finfo(torch.float32).eps * amplification * max(scale, 1e-3)
    assert prediction.dtype == torch.float32
    assert (prediction - h(target)).abs().max() <= tolerance


@pytest.mark.parametrize("order", range(5))
def test_newton_form_equals_lagrange_sums(order):
    torch.manual_seed(order)
    points = [981.0, 903.5, 777.0, 620.25, 555.0]
    values = [torch.randn(2, 5, 7) for _ in points]
    trajectory = observed(points, values, 4)
    newest = list(zip(points, values, strict=True))[::-1][: order + 1]
    expected = lagrange(newest, 480.0)
    actual = trajectory.predict(480.0, order)
    assert torch.allclose(actual.double(), expected, rtol=1e-4, atol=1e-3)
    # An order that stays on the device gives the same sum.
    assert torch.allclose(trajectory.predict(480.0, torch.tensor(order)), actual, rtol=1e-5)


def test_residual_spread_needs_no_prediction():
    """|Π(t − τ)| · std(|D_n|) is the literal std(|φ_n − φ_{n−1}|)."""
    torch.manual_seed(0)
    points = [900.0, 810.0, 733.0, 600.0]
    values = [torch.randn(3, 8) for _ in points]
    trajectory = observed(points, values, 3)
    history = list(zip(points, values, strict=True))[::-1]
    for n, (scalar, factor) in enumerate(
        zip(trajectory.spreads, trajectory.factors(512.0), strict=True), start=1
    ):
        assert float(scalar * abs(factor)) == pytest.approx(spread(history, 512.0, n), rel=1e-4)


def test_taylor_is_taylorseers_formula():
    """On s² at spacing 4, TaylorSeer's order 2 errs by −4, −8, −12 where Lagrange is exact."""
    points = [0.0, 4.0, 8.0]
    values = [torch.tensor([s * s]) for s in points]
    taylor, exact = observed(points, values, 2, "taylor"), observed(points, values, 2)
    for ahead in (1, 2, 3):
        truth = (8.0 + ahead) ** 2
        assert exact.predict(8.0 + ahead, 2).item() == pytest.approx(truth)
        assert taylor.predict(8.0 + ahead, 2).item() - truth == pytest.approx(-4 * ahead)
        assert torch.equal(taylor.predict(8.0 + ahead, 1), exact.predict(8.0 + ahead, 1))


def test_reuse_repeats_the_newest_point():
    values = [torch.randn(4), torch.randn(4), torch.randn(4)]
    trajectory = observed([9.0, 7.0, 4.0], values, 2, "reuse")
    assert torch.equal(trajectory.predict(3.0, 2), values[-1])
    assert set(NEWTON) == {"lagrange", "taylor", "hermite", "zeus", "reuse"}


def test_history_keeps_the_newest_points_and_the_features_dtype():
    trajectory = Trajectory(2)
    for t in (50.0, 40.0, 30.0, 20.0):
        trajectory.observe(t, torch.full((3,), t, dtype=torch.bfloat16))
    assert trajectory.points == (20.0, 30.0, 40.0)
    assert trajectory.order == 2
    assert [d.dtype for d in trajectory.differences] == [
        torch.bfloat16,
        torch.float32,
        torch.float32,
    ]
    assert trajectory.predict(10.0, 2).dtype == torch.bfloat16
    assert torch.equal(trajectory.predict(10.0, 1), torch.full((3,), 10.0, dtype=torch.bfloat16))


def test_differences_cancel_in_float32():
    """Half-precision features that differ by one unit in the last place keep their slope."""
    trajectory = Trajectory(1)
    trajectory.observe(1000.0, torch.tensor([2048.0], dtype=torch.float16))
    trajectory.observe(997.0, torch.tensor([2050.0], dtype=torch.float16))
    assert trajectory.differences[1].item() == pytest.approx(-2 / 3, rel=1e-6)


def test_a_timestep_cannot_be_observed_twice():
    trajectory = Trajectory(1)
    trajectory.observe(5.0, torch.zeros(1))
    with pytest.raises(ValueError, match=r"timestep 5\.0 is already"):
        trajectory.observe(5.0, torch.zeros(1))


@pytest.mark.parametrize("local_extrapolation", [False, True])
def test_order_choice(local_extrapolation):
    lowest = 1 if local_extrapolation else 0
    s = torch.tensor
    assert choose_order([], [], local_extrapolation) == 0
    assert choose_order([s(3.0)], [2.0], local_extrapolation) == lowest
    assert choose_order([s(3.0), s(1.0)], [1.0, 1.0], local_extrapolation) == 1 + lowest
    # The factor counts, by its magnitude; a tie takes the lower order.
    assert choose_order([s(3.0), s(1.0)], [1.0, -4.0], local_extrapolation) == lowest
    assert choose_order([s(2.0), s(1.0)], [1.0, -2.0], local_extrapolation) == lowest
    blocks = choose_order([s([3.0, 1.0]), s([1.0, 3.0])], [1.0, 1.0], local_extrapolation)
    assert blocks.tolist() == [1 + lowest, lowest]


def test_hicaches_basis_is_contracted_hermite():
    """σⁿ·Hₙ(σx) with the physicists' polynomials; at σ = 1/√2 the first order is linear."""
    x, s = 1.7, 0.5
    assert scaled_hermite(x, 0) == 1
    assert scaled_hermite(x, 1) == pytest.approx(s * 2 * s * x)
    assert scaled_hermite(x, 2) == pytest.approx(s**2 * (4 * (s * x) ** 2 - 2))
    assert scaled_hermite(x, 3) == pytest.approx(s**3 * (8 * (s * x) ** 3 - 12 * s * x))
    assert scaled_hermite(x, 1, math.sqrt(0.5)) == pytest.approx(x)
    # At unit spacing, order 1: the newest value and a share of the last change.
    values = [torch.tensor([1.0]), torch.tensor([3.0])]
    trajectory = observed([0.0, 1.0], values, 1, "hermite")
    assert trajectory.predict(2.0, 1).item() == pytest.approx(3 + 2 * scaled_hermite(1.0, 1))


def test_mean_and_per_sample_spreads():
    torch.manual_seed(0)
    difference = torch.randn(3, 5, 7)
    assert spread_of(difference, "mean") == difference.abs().mean()
    per_sample = spread_of(difference, over="per_sample")
    assert per_sample.shape == (3,)
    for item, value in zip(difference, per_sample, strict=True):
        assert value == pytest.approx(item.abs().std(correction=0).item())


def test_spreads_per_image_join_the_halves_of_guidance():
    torch.manual_seed(0)
    difference = torch.randn(4, 5)
    spreads = spread_of(difference, over="per_image")
    for image in (0, 1):
        both = torch.stack([difference[image], difference[image + 2]]).abs()
        assert spreads[image] == spreads[image + 2] == pytest.approx(both.std(correction=0).item())
    assert spread_of(difference[::2], over="per_image")[0] == pytest.approx(
        spread_of(difference[::2]).item()
    )
    with pytest.raises(ValueError, match="two halves"):
        spread_of(difference[:3], over="per_image")


def test_a_window_averages_what_each_degree_has():
    torch.manual_seed(0)
    points = [90.0, 80.0, 70.0, 60.0]
    values = [torch.randn(4, 4) for _ in points]
    plain, windowed = Trajectory(2), Trajectory(2, window=2)
    past = []
    for point, value in zip(points, values, strict=True):
        plain.observe(point, value)
        windowed.observe(point, value)
        past.append(plain.spreads)
    for n in range(2):
        assert windowed.spreads[n] == pytest.approx(((past[-1][n] + past[-2][n]) / 2).item())
    early = Trajectory(2, window=5)
    for point, value in zip(points[:3], values[:3], strict=True):
        early.observe(point, value)
    # Only the newest of three points has a second difference.
    assert early.spreads[1] == past[2][1]
    assert early.spreads[0] == pytest.approx(((past[1][0] + past[2][0]) / 2).item())


def test_one_order_per_item():
    torch.manual_seed(0)
    points, values = [9.0, 7.0, 4.0], [torch.randn(3, 2, 5) for _ in range(3)]
    trajectory = observed(points, values, 2)
    together = trajectory.predict(3.0, torch.tensor([0, 1, 2]))
    for item in range(3):
        assert torch.allclose(together[item], trajectory.predict(3.0, item)[item])


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_power_orders_fall_or_rise(exponent):
    falling = [power_order(t, 1000.0, 4, exponent) for t in range(1000, -1, -50)]
    rising = [power_order(t, 1000.0, 4, -exponent) for t in range(1000, -1, -50)]
    assert (falling[0], falling[-1]) == (4, 0)
    assert (rising[0], rising[-1]) == (0, 4)
    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert power_order(500.0, 1000.0, 4, 1.0) == 2


def test_a_base_other_than_one():
    differences = [torch.tensor([2.0]), torch.tensor([3.0])]
    assert weighted_sum(differences, [10.0], 1, base=0.5).item() == 31
    assert weighted_sum(differences[:1], [], 0, base=0.5).item() == 1
