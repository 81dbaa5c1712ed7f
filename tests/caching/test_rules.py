"""Each rule against arithmetic by hand, against cache-dit's own, and on a straight line."""

import math
from dataclasses import replace

import pytest
import torch

from tracache.caching.coordinates import SCALE, gaussian_noise
from tracache.caching.rules.dmd import Exponentials, find_modes
from tracache.caching.rules.foca import ForecastCalibrate, heun_weights
from tracache.caching.rules.moment import Moment
from tracache.caching.rules.registry import RULES, SERIES
from tracache.caching.rules.vde import split
from tracache.caching.spaces import Level, convert

STEPS, SHAPE = 20, (2, 3, 4, 4)


def moment(step, flow=False):
    share = 1.0 - (step + 0.5) / STEPS
    angle = share * math.pi / 2
    level = Level(1.0 - share, share) if flow else Level(math.cos(angle), math.sin(angle))
    return Moment(step, STEPS, 1000.0 * share, level, "flow_prediction" if flow else "v_prediction")


def noise(seed, shape=SHAPE, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


#: Rule → the coordinate that a straight line is followed along, and the computed steps it needs.
#: Chebyshev's ridge misses it, see ``test_chebyshev``; Hermite's contraction, ``test_trajectory``.
COORDINATES = {
    "line": lambda at: gaussian_noise(at.level.log_snr),
    "lagrange": lambda at: at.timestep,
    "taylor": lambda at: at.step,
    "dmd": lambda at: at.step,
}


@pytest.mark.parametrize("name", COORDINATES)
@pytest.mark.parametrize("computed", [(0, 1, 2, 5), (0, 3, 6, 9, 12), (2, 3, 8, 9)])
def test_a_straight_line_is_followed_exactly(name, computed):
    start, slope = noise(1), noise(2)
    # Differences of three points are those of a line only if they are at equal distances.
    order = 1 if name == "taylor" else 2
    rule = RULES[name](order)

    def value(step):
        return start + COORDINATES[name](moment(step)) * slope

    for step in computed:
        rule.observe(moment(step), value(step))
    for step in range(computed[-1] + 1, computed[-1] + 4):
        got = rule.predict(moment(step))
        torch.testing.assert_close(got, value(step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name, ahead", [("foca", 3), ("zeus", 1)])
def test_undivided_differences_follow_a_line_where_two_steps_computed_in_a_row(name, ahead):
    rule, slope = RULES[name](2), noise(2)
    for step in (0, 3, 4, 5):
        rule.observe(moment(step), noise(1) + step * slope)
    for step in range(6, 6 + ahead):
        torch.testing.assert_close(rule.predict(moment(step)), noise(1) + step * slope)


@pytest.mark.parametrize("name, off", [("foca", 4.0), ("zeus", 2.0)])
def test_how_far_off_undivided_differences_are_at_stride_three(name, off):
    """In what a step changes, at most; the manual says so of both. Reuse is off by 2 there."""
    rule, errors = RULES[name](2), []
    for step in range(STEPS):
        line = torch.tensor([[float(step)]])
        if step % 3 == 0:
            rule.observe(moment(step), line)
        elif step > 3:
            errors.append(float((rule.predict(moment(step)) - line).abs().max()))
    assert max(errors) == pytest.approx(off, abs=5e-3)


def test_measured_begins_with_the_share_of_noise_and_then_measures():
    rule = RULES["measured"](2)
    at = [gaussian_noise(moment(step).level.log_snr) for step in range(STEPS)]
    values = {step: at[step] * noise(2) for step in (0, 3, 6)}
    rule.observe(moment(0), values[0])
    assert torch.equal(rule.predict(moment(1)), values[0])
    rule.observe(moment(3), values[3])
    level = moment(3).level
    ratio = level.noise / level.signal
    share = ratio**2 / (SCALE**2 + ratio**2)
    partly = values[3] + share**2 * (at[4] - at[3]) * noise(2)
    torch.testing.assert_close(rule.predict(moment(4)), partly)
    rule.observe(moment(6), values[6])
    torch.testing.assert_close(rule.predict(moment(8)), at[8] * noise(2))


def test_the_default_is_the_line_by_its_gains_root_bit_for_bit():
    """Told plainly."""
    rule, points = RULES["measured"](2), []
    slope, gain, newest = None, None, None
    for step in range(STEPS):
        here = gaussian_noise(moment(step).level.log_snr)
        if step in (0, 1, 3, 7, 9, 14):
            value = series(step)
            if points:
                change, width = value - newest, here - points[-1]
                if slope is not None:
                    along = (slope * change).sum((1, 2, 3)) / slope.square().sum((1, 2, 3)) / width
                    gain = along.clamp(0.0, 1.0).sqrt().reshape(-1, 1, 1, 1)
                else:
                    first = here**4
                slope = change / width
            points, newest = [*points, here], value
            rule.observe(moment(step), value.clone())
        else:
            ahead = here - points[-1]
            if gain is None and slope is not None:
                want = torch.add(newest, slope, alpha=ahead * first)
            else:
                want = torch.addcmul(newest, gain, slope, value=ahead)
            assert torch.equal(rule.predict(moment(step)), want)


def test_zeus_takes_turns():
    rule, a, b = RULES["zeus"](2), noise(1), noise(2)
    rule.observe(moment(4), a)
    assert torch.equal(rule.predict(moment(5)), a)
    rule.observe(moment(8), b)
    predicted = [rule.predict(moment(step)) for step in (9, 10, 11, 12)]
    for extrapolated in predicted[::2]:
        torch.testing.assert_close(extrapolated, 2.0 * b - a)
    for repeated in predicted[1::2]:
        assert torch.equal(repeated, b)


# VDE


@pytest.mark.parametrize("flow", [False, True])
def test_vde_by_hand(flow):
    """Its published steps, for each item alone: α, β, direction, and the line over timesteps."""
    rule, at = RULES["vde"](2), [moment(step, flow) for step in (4, 7, 9)]
    kind = "flow_prediction" if flow else "v_prediction"
    samples, values = [noise(i) for i in (1, 2, 3)], [noise(i) for i in (4, 5)]
    for now, value, sample in zip(at, values, samples, strict=False):
        rule.observe(now, convert(value, sample, now.level, kind, "v_prediction"), sample)
    got = rule.predict(at[2], samples[2])
    for item in range(SHAPE[0]):
        alphas, betas = [], []
        for value, sample in zip(values, samples, strict=False):
            v, x = value[item].flatten(), sample[item].flatten()
            across = v - (v @ x) / (x @ x) * x
            alphas.append((v @ x) / (x @ x))
            betas.append(across.norm() / x.norm())
        unit, x = across / across.norm(), samples[2][item].flatten()
        t = [now.timestep for now in at]
        share = (t[2] - t[0]) / (t[1] - t[0])
        alpha = alphas[0] + share * (alphas[1] - alphas[0])
        beta = betas[0] + share * (betas[1] - betas[0])
        want = (alpha * x + beta * x.norm() * unit).reshape(SHAPE[1:])
        want = convert(want, samples[2][item], at[2].level, kind, "v_prediction")
        torch.testing.assert_close(got[item], want)


@pytest.mark.parametrize("flow", [False, True])
def test_vde_is_exact_where_coefficients_are_lines_and_the_direction_stays(flow):
    rule = RULES["vde"](2)
    kind = "flow_prediction" if flow else "v_prediction"
    # Latents at right angles to one direction.
    direction = split(noise(9), noise(8))[2]

    def latents(step):
        along, across, rest = split(noise(step), direction)
        return across * rest + 0.0 * along

    def velocity(step):
        t, x = moment(step, flow).timestep / 1000.0, latents(step)
        size = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
        return (0.3 + 0.5 * t) * x + (0.2 + 0.7 * t) * size * direction

    def said(step):
        return convert(
            velocity(step), latents(step), moment(step, flow).level, kind, "v_prediction"
        )

    for step in (2, 6):
        rule.observe(moment(step, flow), said(step), latents(step))
    for step in (7, 8, 9):
        got = rule.predict(moment(step, flow), latents(step))
        torch.testing.assert_close(got, said(step), rtol=1e-6, atol=1e-6)


def test_vde_does_not_care_for_the_scale_of_the_latents():
    """Schedulers in the scale of Karras et al. have the same circle, scaled."""
    plain, scaled = RULES["vde"](2), RULES["vde"](2)

    def karras(at):
        return replace(at, level=Level(1.0, at.level.noise / at.level.signal))

    for step in (3, 5):
        at, sample = moment(step), noise(step)
        plain.observe(at, noise(10 + step), sample)
        scaled.observe(karras(at), noise(10 + step), sample / at.level.signal)
    at, sample = moment(6), noise(6)
    got = scaled.predict(karras(at), sample / at.level.signal)
    torch.testing.assert_close(got, plain.predict(at, sample))


# Against cache-dit


def peer(name):
    calibrators = pytest.importorskip("cache_dit.caching.cache_contexts.calibrators")
    made = calibrators.FoCaCalibrator() if name == "foca" else calibrators.DMDCalibrator()
    made.maybe_init_state("x")
    return made.states["x"]


def series(step, shape=SHAPE):
    t = step / STEPS
    smooth = noise(1, shape) * math.exp(-2.0 * t) + noise(2, shape) * math.cos(5.0 * t)
    return (smooth + 0.3 * noise(3, shape) * t * t + 0.002 * noise(50 + step, shape)).float()


@pytest.mark.parametrize("name", ["dmd", "foca"])
@pytest.mark.parametrize(
    "computed", [range(0, STEPS, 3), range(0, STEPS, 6), (0, 2, 3, 4, 5, 7, 9, 11, 13, 18)]
)
def test_it_is_cache_dits(name, computed):
    """The same series, step by step, also where gaps are uneven.

    Before four steps lie at equal distances, cache-dit's DMD divides the change over two gaps by
    the newest one; ours is the line.
    """
    theirs, ours = peer(name), SERIES[name](2)
    for step in range(STEPS):
        theirs.mark_step_begin()
        if step in computed:
            theirs.update(series(step))
            ours.observe(float(step), series(step))
            continue
        got, want = ours.predict(float(step), ours.order), theirs.approximate()
        if name == "foca" or ours.order == 2:
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


# Exponentials


@pytest.mark.parametrize("shape", [SHAPE, (1, 50), (50,)])
def test_damped_and_turning_modes_are_followed_exactly(shape):
    """Two real modes and a pair of complex ones: four states of two pairs tell them."""
    a, b, c, d = (noise(i, shape) for i in range(4))

    def value(step):
        turn = 0.9**step
        return (
            a * 0.97**step
            + b * 1.01**step
            + turn * (c * math.cos(0.4 * step) + d * math.sin(0.4 * step))
        )

    history = Exponentials()
    for step in range(0, 18, 3):
        history.observe(float(step), value(step))
    assert history.order == 2
    for step in (16, 17, 18, 20):
        got = history.predict(float(step), 2)
        torch.testing.assert_close(got, value(step), rtol=1e-5, atol=1e-5)


def test_items_of_a_batch_have_modes_of_their_own():
    both, alone = Exponentials(), Exponentials()
    for step in (0, 2, 4, 6, 8):
        value = torch.cat([series(step)[:1] * 0.0, series(step)[1:]])
        both.observe(float(step), value)
        alone.observe(float(step), value[1:])
    together = both.predict(9.0, 2)
    # What is nought has no modes, and is repeated.
    assert torch.equal(together[:1], torch.zeros_like(together[:1]))
    torch.testing.assert_close(together[1:], alone.predict(9.0, 2), rtol=1e-6, atol=1e-6)


def test_unequal_distances_are_a_line_until_four_are_equal():
    history, orders = Exponentials(), []
    for step in (0, 1, 4, 6, 8, 10):
        history.observe(float(step), torch.tensor([[1.0, 2.0 * step]]))
        orders.append(history.order)
    assert orders == [0, 1, 1, 1, 1, 2]
    with pytest.raises(ValueError, match="already in the history"):
        history.observe(10.0, torch.zeros(1, 2))


def test_what_tells_no_modes_is_said():
    assert find_modes(torch.zeros(4, 4, dtype=torch.float64)) is None
    assert find_modes(torch.full((4, 4), math.nan, dtype=torch.float64)) is None


# Forecast and calibrate


def test_weights_are_those_of_the_recursion():
    full, first = 1.7, -0.4
    values = [0.0 - first, 0.0]
    for ahead in range(1, 7):
        anchored = full + values[-1] - values[-2]
        heun = min(ahead, 3) / 2 * anchored
        values.append(heun if ahead <= 3 else 3 / ahead * heun)
        a, d = heun_weights(ahead)
        assert a * full + d * first == pytest.approx(values[-1])


def test_three_tensors_are_kept_in_the_features_dtype():
    history = ForecastCalibrate()
    for step in (0, 3, 6, 9):
        history.observe(float(step), torch.full((2, 3), float(step), dtype=torch.bfloat16))
    assert len(history.differences) == 3
    assert history.predict(10.0, 1).dtype == torch.bfloat16
