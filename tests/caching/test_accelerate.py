"""accelerate(pipe): whichever settings, on stock pipelines as people run them."""

from __future__ import annotations

from copy import deepcopy

import diffusers
import pytest
import torch
from accelerate import cpu_offload_with_hook
from peft import LoraConfig, inject_adapter_in_model

import tracache
from tests.app import ROOT
from tests.caching.test_planned import run
from tracache.caching.attach import make_config
from tracache.caching.plan import Bell, Motion, fit_bell
from tracache.caching.rules.registry import RULES
from tracache.methods import PlannedConfig, TraCacheConfig


@pytest.fixture(scope="module")
def pipe():
    pipe = diffusers.PixArtAlphaPipeline.from_pretrained(ROOT / "demo_assets" / "scenes-t2i")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def error(got, want):
    return float((got.float() - want.float()).norm() / want.float().norm())


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        ({}, PlannedConfig()),
        ({"compute": 8}, PlannedConfig(8)),
        ({"space": "data", "stride": 2}, PlannedConfig(space="data", stride=2)),
        ({"space": "output"}, PlannedConfig(space="output")),
        ({"stride": 3}, TraCacheConfig(3)),
        ({"max_order": 1, "compute": 5}, TraCacheConfig(max_order=1, compute=5)),
        ({"rule": "reuse", "compute": 5}, TraCacheConfig(rule="reuse", compute=5)),
        ({"rule": "zeus", "compute": 5}, PlannedConfig(5, rule="zeus")),
        ({"rule": "taylor", "space": "data"}, PlannedConfig(rule="taylor", space="data")),
        ({"space": "modules"}, TraCacheConfig(space="modules")),
        ({"space": "blocks", "compute": 6}, TraCacheConfig(compute=6)),
    ],
)
def test_settings_by_name_find_their_configuration(settings, config):
    assert make_config(**settings) == config


def test_an_unknown_space_is_told_all_there_are():
    with pytest.raises(ValueError, match="blocks, modules, output, data, noise, velocity"):
        make_config(space="tokens")


def test_as_published_is_the_literal_method():
    assert TraCacheConfig.published(4, 3, warmup=2) == TraCacheConfig(
        stride=4, max_order=3, warmup=2, space="blocks"
    )
    assert TraCacheConfig(granularity="module") == TraCacheConfig(space="modules")


@pytest.mark.parametrize("steps", [2, 5, 10, 20])
def test_two_fifths_compute_unless_told(pipe, steps):
    with tracache.accelerate(pipe) as trace:
        run(pipe, steps=steps)
        assert trace.computed.sum() == max(1, round(0.4 * steps))


def test_a_budget_of_blocks_is_exact(pipe):
    with tracache.accelerate(pipe, space="blocks", compute=4) as trace:
        run(pipe, steps=10)
        assert trace.computed.nonzero()[0].tolist() == [0, 3, 6, 9]
    with pytest.raises(ValueError, match="compute=4 needs the number of steps"):
        tracache.attach(pipe.transformer, TraCacheConfig(compute=4))


@pytest.mark.parametrize("space", ["output", "data", "noise", "velocity"])
@pytest.mark.parametrize("placement", ["measured", "even", "planned"])
def test_every_space_keeps_its_budget_and_comes_near(pipe, space, placement):
    want = run(pipe, steps=20)
    with tracache.accelerate(pipe, compute=10, space=space, placement=placement) as trace:
        got = run(pipe, steps=20)
        assert trace.computed.sum() == 10
        assert trace.computed_at(0)
        assert torch.equal(run(pipe, steps=20), got)
    if placement != "even":
        assert error(got, want) < error(run(pipe, steps=10), want)
    with tracache.accelerate(pipe, compute=20, space=space, placement=placement):
        assert torch.equal(run(pipe, steps=20), want)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"vde"}))
def test_every_rule_follows_outputs(pipe, rule):
    """Each half of guidance by itself, as the denoiser returns it."""
    want = run(pipe, steps=12)
    with tracache.accelerate(pipe, space="output", rule=rule, compute=6, correct=False) as trace:
        got = run(pipe, steps=12)
        assert trace.computed.sum() == 6
        assert torch.equal(run(pipe, steps=12), got)
    with tracache.accelerate(pipe, space="output", rule=rule, compute=12):
        assert torch.equal(run(pipe, steps=12), want)


def test_an_output_is_predicted_by_itself(pipe):
    """With reuse, a skipped step returns what the computed one did."""
    returned = []

    def look(module, args, output):
        returned.append(output[0] if isinstance(output, tuple) else output.sample)

    plan = (0, 3, 6, 9)
    config = PlannedConfig(full_steps=plan, space="output", rule="reuse", correct=False)
    with tracache.accelerate(pipe, config):
        hook = pipe.transformer.register_forward_hook(look)
        run(pipe, steps=10)
        hook.remove()
    assert len(returned) == 10
    for step, output in enumerate(returned):
        assert torch.equal(output, returned[step - step % 3])


def test_a_measured_plan_follows_what_moves(pipe):
    slow = fit_bell([Motion(-4, -3, 0.3), Motion(-3, -2, 0.1), Motion(-2, -1, 0.03)], Bell())
    fast = fit_bell([Motion(-4, -3, 0.03), Motion(-3, -2, 0.1), Motion(-2, -1, 0.3)], Bell())
    assert slow.peak < Bell().peak < fast.peak
    assert fit_bell([], Bell()) == Bell()


def test_blocks_are_shown_beside_the_plan(pipe):
    """Until the first correction the latents are the published method's, and so its orders."""
    plan = (0, 1, 2, 6, 9)
    with tracache.accelerate(pipe, PlannedConfig(full_steps=plan)):
        bare = run(pipe)
    with tracache.accelerate(pipe, PlannedConfig(full_steps=plan), trace="all") as trace:
        assert torch.equal(run(pipe), bare)
    published = TraCacheConfig.published(full_steps=plan)
    with tracache.accelerate(pipe, published, trace="all") as literal:
        run(pipe)
    assert trace.labels == (*literal.labels, "prediction")
    assert (trace.orders[:6, :-1] == literal.orders[:6]).all()
    assert (trace.spreads[3:6, :-1] == literal.spreads[3:6]).all()
    skipped = ~trace.computed
    assert (trace.orders[skipped, -1] == 1).all()
    assert tuple(trace.computed.nonzero()[0]) == plan
    assert not any(hasattr(b, "_diffusers_hook") for b in pipe.transformer.transformer_blocks)


def test_a_compiled_denoiser_gives_the_same(pipe):
    with tracache.accelerate(pipe, compute=4):
        want = run(pipe)
    pipe.transformer.compile(backend="eager")
    try:
        with tracache.accelerate(pipe, compute=4) as trace:
            got = run(pipe)
        assert trace.computed.sum() == 4
    finally:
        pipe.transformer._compiled_call_impl = None
    torch.testing.assert_close(got, want)


def test_half_precision_stays_finite_and_near(pipe):
    half = diffusers.PixArtAlphaPipeline.from_pretrained(
        ROOT / "demo_assets" / "scenes-t2i", torch_dtype=torch.bfloat16
    )
    half.set_progress_bar_config(disable=True)
    want = run(pipe, steps=20)
    with tracache.accelerate(half, compute=10):
        start = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
        got = run(half, steps=20, latents=start.bfloat16())
    assert got.dtype == torch.bfloat16
    assert error(got, want) < 0.1


def test_batches_and_negative_prompts(pipe):
    def pair(**more):
        start = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
        return pipe(
            ["a red cube on grass", "a blue ring on snow"],
            latents=start,
            num_inference_steps=20,
            guidance_scale=2.5,
            height=128,
            width=128,
            output_type="latent",
            clean_caption=False,
            use_resolution_binning=False,
            max_sequence_length=20,
            **more,
        ).images

    for more in ({}, {"negative_prompt": ["a matte sphere", "night"]}):
        want = pair(**more)
        with tracache.accelerate(pipe, compute=8) as trace:
            got = pair(**more)
            assert trace.computed.sum() == 8
        assert error(got, want) < 0.3


def test_offload_goes_on_under_the_plan(pipe):
    with tracache.accelerate(pipe, compute=4):
        want = run(pipe)
    _, hook = cpu_offload_with_hook(pipe.transformer, execution_device="cpu")
    offloading = pipe.transformer.forward
    try:
        with tracache.accelerate(pipe, compute=4) as trace:
            assert torch.equal(run(pipe), want)
            assert trace.computed.sum() == 4
        hook.offload()
        assert pipe.transformer.forward is offloading
    finally:
        hook.remove()


def test_lora_weights_are_followed(pipe):
    plain = run(pipe, steps=20)
    other = diffusers.PixArtAlphaPipeline(
        **{**pipe.components, "transformer": deepcopy(pipe.transformer)}
    )
    other.set_progress_bar_config(disable=True)
    adapter = LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights="gaussian")
    inject_adapter_in_model(adapter, other.transformer)
    torch.manual_seed(0)
    for name, weight in other.transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    want = run(other, steps=20)
    with tracache.accelerate(other, compute=10):
        got = run(other, steps=20)
    assert 0 < error(got, want) < error(plain, want)


def test_an_interrupted_pipeline_restarts_clean(pipe):
    """Pipelines look at ``_interrupt`` between steps; the next call begins a new run."""
    with tracache.accelerate(pipe, compute=4) as trace:
        want = run(pipe)
        for stop in (1, 3, 8):

            def leave(step, timestep, latents, stop=stop):
                if step == stop:
                    raise StopIteration

            with pytest.raises(StopIteration):
                run(pipe, callback=leave)
            assert len(trace) == stop + 1
            assert torch.equal(run(pipe), want)


def test_one_scheduler_for_two_denoisers_counts_each_step_once(pipe):
    """Guidance by two calls per step: both are skipped together."""
    calls = []

    def look(module, args, output):
        calls.append(1)

    with tracache.accelerate(pipe, compute=5) as trace:
        hook = pipe.transformer.register_forward_hook(look)
        step = pipe.transformer.forward

        def twice(*args, **kwargs):
            step(*args, **kwargs)
            return step(*args, **kwargs)

        pipe.transformer.forward = twice
        try:
            run(pipe)
        finally:
            pipe.transformer.forward = step
            hook.remove()
        assert trace.computed.sum() == 5
        assert len(trace) == 10
