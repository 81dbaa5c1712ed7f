"""Plans, trajectories at the scheduler, looking back: exact where they must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor, nn

import tracache
from tests.app import ROOT
from tests.grids import in_turn
from tracache.caching.coordinates import gaussian_data, gaussian_noise, interpolation
from tracache.caching.correct import CannotCorrectError, coefficients_of, read_coefficients
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.placements import PLACEMENTS
from tracache.caching.plan import planned_steps, step_weights
from tracache.caching.rules.registry import RULES
from tracache.caching.scheduled import ScheduledHandle
from tracache.caching.spaces import Level, convert, levels_of, prediction_of
from tracache.caching.steps import even_steps
from tracache.caching.wrapping import wrap_method

BETAS = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
DPM = diffusers.DPMSolverMultistepScheduler
LINEAR: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, BETAS | {"clip_sample": False}),
    "dpm2": (DPM, BETAS),
    "dpm2-v": (DPM, BETAS | {"prediction_type": "v_prediction"}),
    "dpm2-x0": (DPM, BETAS | {"prediction_type": "sample"}),
    "dpm2-karras": (DPM, BETAS | {"use_karras_sigmas": True}),
    "dpm2-euler-at-final": (DPM, BETAS | {"euler_at_final": True}),
    "dpm3": (DPM, BETAS | {"solver_order": 3}),
    "dpm-eps": (DPM, BETAS | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    "sde-dpm": (DPM, BETAS | {"algorithm_type": "sde-dpmsolver++"}),
    "unipc2": (diffusers.UniPCMultistepScheduler, BETAS | {"prediction_type": "v_prediction"}),
    "unipc3": (diffusers.UniPCMultistepScheduler, BETAS | {"solver_order": 3}),
    "deis": (diffusers.DEISMultistepScheduler, BETAS),
    "euler": (diffusers.EulerDiscreteScheduler, BETAS),
    "euler-v": (diffusers.EulerDiscreteScheduler, BETAS | {"prediction_type": "v_prediction"}),
    "euler-a": (diffusers.EulerAncestralDiscreteScheduler, BETAS),
    "ddpm": (diffusers.DDPMScheduler, BETAS | {"clip_sample": False}),
    "flow": (diffusers.FlowMatchEulerDiscreteScheduler, {"shift": 3.0}),
    "flow-dpm": (DPM, {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    "flow-unipc": (
        diffusers.UniPCMultistepScheduler,
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0},
    ),
}
SHAPE = (3, 4, 5, 5)


def make(name, steps=12):
    cls, config = LINEAR[name]
    scheduler = cls(**config)
    scheduler.set_timesteps(steps)
    return scheduler


def noise(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


class Denoiser(nn.Module):
    """Says whatever estimate it is told for a step, in the scheduler's own terms."""

    def __init__(self, estimate: Any):
        super().__init__()
        self.estimate, self.calls = estimate, 0

    def forward(self, sample: Tensor, step: int, level: Level, prediction: str):
        self.calls += 1
        return convert(self.estimate(step, sample, level), sample, level, "sample", prediction)


def denoise(scheduler: Any, steps: int, model: Denoiser):
    """A pipeline's loop; the noise of stochastic schedulers is always the same."""
    scheduler.set_timesteps(steps)
    levels, prediction = levels_of(scheduler), prediction_of(scheduler)
    x = noise(0) * (levels[0].signal ** 2 + levels[0].noise ** 2) ** 0.5
    draws = torch.Generator().manual_seed(1)
    for i, t in enumerate(scheduler.timesteps):
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        output = model(x, i, levels[i], prediction)
        more = (
            {"generator": draws} if "generator" in type(scheduler).step.__code__.co_varnames else {}
        )
        x = scheduler.step(output, t, x, return_dict=False, **more)[0]
    return x


def bent(step: int, sample: Tensor, level: Level):
    """An estimate that bends, and follows the latents."""
    size = (level.signal**2 + level.noise**2) ** 0.5
    return torch.tanh(noise(7) * (level.log_snr + 1.0) + 0.2 * sample / size)


def integrate_again(scheduler: Any, steps: int, seen: dict[int, Tensor]):
    """The run of every step with what was seen at some, and parabolas through those in between."""
    plan, levels = sorted(seen), levels_of(scheduler)
    points = [gaussian_data(level.log_snr) for level in levels]
    pure = [level.signal <= 1e-3 * level.noise for level in levels]

    def interpolated(step: int, sample: Tensor, level: Level):
        if step in seen:
            return seen[step]
        end = next(b for b in plan if b > step)
        known = [p for p in reversed(plan) if p <= end][:3]
        known = [p for k, p in enumerate(known) if k < 2 or not pure[p]]
        weights = interpolation(points[step], [points[p] for p in known])
        return sum(w * seen[p] for w, p in zip(weights, known, strict=True))

    return denoise(scheduler, steps, Denoiser(interpolated))


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("predict", ["noise", "data", "velocity"])
def test_looking_back_is_integrating_the_gap_again(name, predict):
    scheduler, steps, compute = make(name), 12, 5
    seen: dict[int, Tensor] = {}

    def watched(step: int, sample: Tensor, level: Level):
        seen[step] = bent(step, sample, level)
        return seen[step]

    model = Denoiser(watched)
    settings = PlannedConfig(compute, placement="even", space=predict, correct_order=2)
    handle = ScheduledHandle([model], scheduler, settings)
    got = denoise(scheduler, steps, model)
    assert model.calls == compute == handle.trace.computed.sum()
    handle.detach()

    want = integrate_again(make(name), steps, seen)
    torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", LINEAR)
def test_coefficients_are_the_schedulers_own(name: str):
    scheduler, steps = make(name), 12
    c = read_coefficients(scheduler)
    estimates = [noise(20 + i) for i in range(steps)]
    run = Denoiser(lambda step, sample, level: estimates[step])
    none = Denoiser(lambda step, sample, level: torch.zeros(SHAPE))
    # The difference of two runs with the same noise has no noise in it.
    got = denoise(make(name), steps, run) - denoise(make(name), steps, none)
    want = sum(float(w) * e for w, e in zip(c.estimates[-1], estimates, strict=True))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@dataclass(frozen=True)
class Chosen(PlannedConfig):
    """Computes two steps at the start, which a line needs, and few after them."""

    def place(self, log_snr):
        return (0, 1, 2, 5, 9)


@pytest.mark.parametrize("name", ["ddim", "dpm2-v", "dpm3", "unipc2", "euler", "flow", "deis"])
@pytest.mark.parametrize("space", ["data", "noise", "velocity"])
def test_a_line_is_followed_exactly_in_every_space(name, space):
    kind = {"data": "sample", "noise": "epsilon", "velocity": "v_prediction"}[space]
    scheduler = make(name)

    def straight(step, sample, level):
        if step == 0:
            # Far out, the prediction says nothing of the data.
            return noise(3)
        value = noise(3) + 0.3 * gaussian_noise(level.log_snr) * noise(4)
        return convert(value, sample, level, kind, "sample")

    model = Denoiser(straight)
    want = denoise(scheduler, 12, model)
    config = Chosen(5, space=space, rule="line", correct=False)
    handle = ScheduledHandle([model], scheduler, config)
    got = denoise(scheduler, 12, model)
    handle.detach()
    torch.testing.assert_close(got, want, rtol=2e-3, atol=2e-3)


def test_line_in_data_is_exact_with_looking_back():
    scheduler = make("dpm2-v")
    model = Denoiser(lambda i, x, level: noise(3) + gaussian_data(level.log_snr) * noise(4))
    want = denoise(scheduler, 12, model)
    handle = ScheduledHandle([model], scheduler, PlannedConfig(4, placement="even"))
    got = denoise(scheduler, 12, model)
    handle.detach()
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


SPACES = ("noise", "data", "velocity")
WAYS = in_turn(
    [("velocity", "vde"), *((s, r) for r in RULES if r != "vde" for s in SPACES)],
    ["ddim", "dpm2-v", "unipc2", "flow", "euler", "sde-dpm"],
)


@pytest.mark.parametrize("way, name", WAYS, ids=str)
def test_every_rule_in_every_space(way, name):
    """It computes as often as it may; a second run equals the first; all steps is full compute."""
    space, rule = way
    placement = list(PLACEMENTS)[len(name + rule + space) % len(PLACEMENTS)]
    scheduler, model = make(name), Denoiser(bent)
    want = denoise(scheduler, 12, model)
    for compute in (5, 12):
        config = PlannedConfig(compute, placement, rule=rule, space=space, correct=compute == 12)
        handle = ScheduledHandle([model], scheduler, config)
        model.calls = 0
        got = denoise(scheduler, 12, model)
        assert model.calls == compute
        assert torch.equal(denoise(scheduler, 12, model), got)
        handle.detach()
        assert got.isfinite().all()
        assert torch.equal(got, want) == (compute == 12)


def test_what_a_rule_cannot_follow_is_refused():
    with pytest.raises(ValueError, match="use space='velocity', got 'noise'"):
        PlannedConfig(5, rule="vde")


@pytest.mark.parametrize("name", LINEAR)
def test_all_steps_is_full_compute(name: str):
    scheduler, model = make(name), Denoiser(bent)
    want = denoise(scheduler, 12, model)
    handle = ScheduledHandle([model], scheduler, PlannedConfig(12))
    assert torch.equal(denoise(scheduler, 12, model), want)
    handle.detach()
    assert torch.equal(denoise(scheduler, 12, model), want)
    assert "step" not in vars(scheduler)
    assert "forward" not in vars(model)


def test_items_of_a_batch_are_as_alone():
    scheduler, model = make("unipc2"), Denoiser(bent)
    handle = ScheduledHandle([model], scheduler, PlannedConfig(5))
    together = denoise(scheduler, 12, model)
    alone = Denoiser(lambda i, x, level: bent(i, x.expand(SHAPE), level)[1:2])
    handle.detach()
    handle = ScheduledHandle([alone], scheduler, PlannedConfig(5))
    scheduler.set_timesteps(12)
    x, levels = noise(0)[1:2], levels_of(scheduler)
    for i, t in enumerate(scheduler.timesteps):
        output = alone(x, i, levels[i], "v_prediction")
        x = scheduler.step(output, t, x, return_dict=False)[0]
    handle.detach()
    torch.testing.assert_close(x, together[1:2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        (diffusers.HeunDiscreteScheduler(), "twice a step"),
        (diffusers.KDPM2DiscreteScheduler(), "twice a step"),
        (diffusers.PNDMScheduler(), "visits a timestep twice"),
        (diffusers.DDIMScheduler(), "clip_sample"),
        (DPM(thresholding=True), "thresholding"),
        (diffusers.DDPMScheduler(variance_type="learned", clip_sample=False), "variances"),
        (diffusers.EDMEulerScheduler(), "conditions"),
    ],
)
def test_what_does_not_fit_is_refused(scheduler: Any, reason: str):
    scheduler.set_timesteps(8)
    with pytest.raises(ValueError, match=reason):
        read_coefficients(scheduler)


def test_error_of_a_refusal_is_its_own():
    assert issubclass(CannotCorrectError, ValueError)


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 50])
def test_plans_have_exactly_so_many_steps(steps: int):
    points = tuple(-5.0 + 7.0 * i / steps for i in range(steps))
    for compute in range(1, steps + 1):
        for plan in (
            planned_steps(points, step_weights(points), compute),
            even_steps(steps, compute),
        ):
            assert len(set(plan)) == compute
            assert plan[0] == 0
            assert list(plan) == sorted(plan)
    with pytest.raises(ValueError, match="between 1"):
        planned_steps(points, step_weights(points), steps + 1)


def test_how_noisy_pure_noise_is_moves_no_plan():
    rest = [-3.4 + 0.25 * i for i in range(29)]
    plans = set()
    for first in (-6.5, -9.2, -30.0):
        points = (first, *rest)
        plans.add(planned_steps(points, step_weights((-9.2, *rest)), 6))
    assert len(plans) == 1


def test_every_conversion_goes_there_and_back():
    kinds = ("epsilon", "sample", "v_prediction", "flow_prediction")
    for level in (Level(0.8, 0.6), Level(1.0, 14.0), Level(0.3, 0.7)):
        x0, eps = noise(1).double(), noise(2).double()
        x = level.signal * x0 + level.noise * eps
        for one in kinds:
            said = convert(x0, x, level, "sample", one)
            for other in kinds:
                again = convert(convert(said, x, level, one, other), x, level, other, "sample")
                torch.testing.assert_close(again, x0)


@pytest.fixture(scope="module")
def pipe():
    pipe = diffusers.PixArtAlphaPipeline.from_pretrained(ROOT / "demo_assets" / "scenes-t2i")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe, steps=10, **changes):
    start = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    call = {
        "num_inference_steps": steps,
        "guidance_scale": 2.5,
        "height": 128,
        "width": 128,
        "output_type": "latent",
        "clean_caption": False,
        "use_resolution_binning": False,
        "max_sequence_length": 20,
    }
    return pipe("a red cube on grass", **{**call, "latents": start, **changes}).images


def test_a_stock_pipeline_continues_from_what_callbacks_see(pipe):
    seen = []
    want = run(pipe)
    with tracache.accelerate(pipe, compute=10):
        assert torch.equal(run(pipe), want)
    with tracache.accelerate(pipe, compute=5) as trace:
        got = run(pipe, callback=lambda step, timestep, latents: seen.append(latents.clone()))
        assert torch.equal(run(pipe), got)
        assert trace.computed.sum() == 5
        assert trace.computed_at(0)
        assert set(trace.orders.ravel().tolist()) <= {-1, 0, 1}
    assert torch.equal(seen[9], got)
    assert (got - want).norm() < 0.3 * want.norm()
    assert torch.equal(run(pipe), want)


def test_a_run_that_was_broken_off_leaves_nothing_behind(pipe):
    def stop(step, timestep, latents):
        if step == 3:
            raise KeyboardInterrupt

    with tracache.accelerate(pipe, compute=4):
        want = run(pipe)
    with tracache.accelerate(pipe, compute=4) as trace:
        with pytest.raises(KeyboardInterrupt):
            run(pipe, callback=stop)
        assert torch.equal(run(pipe), want)
        assert len(trace) == 10
        # Another number of steps, another batch, no guidance.
        run(pipe, steps=7, guidance_scale=1.0)
        assert (len(trace), trace.computed.sum()) == (7, 4)


def test_a_pipeline_may_write_into_what_a_skipped_step_returns(pipe, monkeypatch):
    forward = pipe.transformer.forward

    def written(*args, **kwargs):
        output = forward(*args, **kwargs)
        output[0].mul_(1.0)
        return output

    with tracache.accelerate(pipe, compute=5):
        want = run(pipe)
    with tracache.accelerate(pipe, compute=5):
        forward = pipe.transformer.forward
        monkeypatch.setattr(pipe.transformer, "forward", written)
        got = run(pipe)
        monkeypatch.undo()
    assert torch.equal(got, want)


def test_it_is_nearer_than_fewer_steps(pipe):
    full, fewer = run(pipe, steps=20), run(pipe, steps=8)
    with tracache.accelerate(pipe, compute=8):
        fast = run(pipe, steps=20)
    assert (fast - full).norm() < 0.7 * (fewer - full).norm()


def test_a_stochastic_sampler_draws_from_the_pipelines_generator(pipe):
    fitting = pipe.scheduler
    pipe.scheduler = diffusers.DDPMScheduler.from_config(fitting.config, clip_sample=False)
    try:
        with tracache.accelerate(pipe, compute=5) as trace:
            one, other = (run(pipe, generator=torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one, other)
        assert trace.computed.sum() == 5
    finally:
        pipe.scheduler = fitting


def test_attaching_without_a_pipeline(pipe):
    with pytest.raises(ValueError, match="acts at the scheduler: pass scheduler"):
        tracache.attach(pipe.transformer, PlannedConfig(5))
    handle = tracache.attach(pipe.transformer, PlannedConfig(5), scheduler=pipe.scheduler)
    with pytest.raises(RuntimeError, match="already attached"):
        tracache.attach(pipe.transformer, PlannedConfig(5), scheduler=pipe.scheduler)
    run(pipe)
    assert handle.trace.computed.sum() == 5
    handle.detach()
    assert not handle.attached
    assert "step" not in vars(pipe.scheduler)
    assert not hasattr(pipe.transformer, "_diffusers_hook")


def test_a_scheduler_that_does_not_fit_is_refused_before_any_work(pipe):
    fitting = pipe.scheduler
    pipe.scheduler = diffusers.HeunDiscreteScheduler()
    try:
        with pytest.raises(ValueError, match="twice a step"), tracache.accelerate(pipe, compute=5):
            pass
        assert not hasattr(pipe.transformer, "_diffusers_hook")
    finally:
        pipe.scheduler = fitting


def test_wrappers_come_off_in_any_order():
    scheduler = make("ddim")
    own = scheduler.step
    calls = []

    def note(word):
        def around(inner, *args, **kwargs):
            calls.append(word)
            return inner(*args, **kwargs)

        return wrap_method(scheduler, "step", around)

    first, second = note("first"), note("second")
    first()
    sample = noise(1)
    scheduler.step(sample, scheduler.timesteps[0], sample)
    assert calls == ["second"]
    second()
    scheduler.step(sample, scheduler.timesteps[1], sample)
    assert calls == ["second"]
    assert scheduler.step.__func__ is own.__func__


def test_a_schedule_is_read_once():
    first, again = (coefficients_of(make("flow")) for _ in range(2))
    assert again is first
    assert coefficients_of(make("flow", 11)) is not first
    shifted = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    shifted.set_timesteps(12)
    assert coefficients_of(shifted) is not first
    torch.testing.assert_close(
        coefficients_of(shifted).estimates, read_coefficients(shifted).estimates
    )


@pytest.mark.parametrize("name", ["ddim", "dpm2-v", "unipc2", "flow"])
def test_four_tensors_of_the_latents_size_are_kept(name):
    """An estimate to look back along, a line, and what the gap has been handed."""
    scheduler, model = make(name), Denoiser(bent)
    handle = ScheduledHandle([model], scheduler, PlannedConfig(4, placement="even"))
    most = []

    def count(value, depth=4):
        if isinstance(value, Tensor):
            return {value.data_ptr(): value.numel()} if value.numel() >= noise(0).numel() else {}
        if depth == 0 or isinstance(value, (str, int, float, type(None))):
            return {}
        inner = vars(value).values() if hasattr(value, "__dict__") else value
        inner = inner.values() if isinstance(inner, dict) else inner
        found = {}
        for item in inner if hasattr(inner, "__iter__") else ():
            found |= count(item, depth - 1)
        return found

    own = model.estimate

    def watched(step, sample, level):
        run = handle._run
        if run is not None:
            kept = count([run._known, run._rules, getattr(run._gap, "_used", None)])
            most.append(sum(kept.values()) / noise(0).numel())
        return own(step, sample, level)

    model.estimate = watched
    denoise(scheduler, 12, model)
    handle.detach()
    assert 3 <= max(most) <= (4 if name != "unipc2" else 5)
