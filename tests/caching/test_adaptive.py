"""Methods that decide as they run, each held against an independent account of it."""

import json
from contextlib import contextmanager

import pytest
import torch
from diffusers.hooks import (
    FirstBlockCacheConfig,
    HookRegistry,
    apply_first_block_cache,
    apply_mag_cache,
    apply_sea_cache,
)
from diffusers.hooks import (
    MagCacheConfig as TheirMagCacheConfig,
)
from diffusers.hooks import (
    SeaCacheConfig as TheirSeaCacheConfig,
)
from diffusers.hooks.hooks import CacheContext, _set_cache_context
from torch import nn
from torch.utils import _pytree as pytree

import tracache
from tests.caching.zoo import Inputs, make
from tests.tiny import denoise, dit, pixart, scheduler, stdit3
from tracache.caching.abscissa import noise_over_signal
from tracache.caching.discover import Arguments
from tracache.caching.layouts import find_blocks, find_parts
from tracache.caching.magnitudes import mean_ratios, record_ratios
from tracache.caching.methods import (
    EasyCacheConfig,
    FirstBlockConfig,
    MagCacheConfig,
    SeaCacheConfig,
)
from tracache.caching.methods.seacache import keep_signal

MODELS = {"pixart": pixart, "dit": dit}
STEPS = 12


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@contextmanager
def watched(model, part="attn1"):
    """Yield, for each block, the steps at which its attention computes."""
    step, ran = -1, [[] for _ in find_blocks(model)]

    def begin(*_):
        nonlocal step
        step += 1

    hooks = [model.register_forward_pre_hook(begin)]
    for steps, parts in zip(ran, find_parts(model), strict=True):
        core = getattr(parts[part], "to_q", None) or parts[part].qkv
        hooks.append(core.register_forward_hook(lambda *_, steps=steps: steps.append(step)))
    try:
        yield ran
    finally:
        for hook in hooks:
            hook.remove()


def ours(model, config, **settings):
    """Final latents with a method attached, what each block computed, and the trace."""
    made = scheduler("ddim")
    handle = tracache.attach(model, config, scheduler=made)
    with watched(model) as ran:
        latents = denoise(model, made=made, num_steps=STEPS, **settings)
    handle.detach()
    return latents, ran, handle.trace


def leaves(output):
    return pytree.tree_leaves(output)


def theirs(model, apply, config):
    """The same under a cache of diffusers, which goes by a context that these models lack."""
    apply(model, config)
    HookRegistry.check_if_exists_or_initialize(model)
    _set_cache_context(model, CacheContext("run"))
    with watched(model) as ran:
        return denoise(model, num_steps=STEPS), ran


@pytest.mark.parametrize("threshold", [0.7, 1.2])
def test_the_first_block_decides_as_in_diffusers(model, threshold):
    latents, ran, trace = ours(model, FirstBlockConfig(threshold))
    expected, theirs_ran = theirs(
        model, apply_first_block_cache, FirstBlockCacheConfig(threshold=threshold)
    )
    assert ran == theirs_ran
    assert torch.equal(latents, expected)
    assert ran[0] == list(range(STEPS))
    assert 1 < len(ran[1]) < STEPS
    assert trace.computed.nonzero()[0].tolist() == ran[1] == ran[-1]
    assert (trace.orders[:, 0] == -1).all()


def test_one_block_has_no_others_to_skip():
    model = pixart(num_layers=1)
    expected = denoise(model, num_steps=STEPS)
    latents, _, trace = ours(model, FirstBlockConfig(100.0))
    assert torch.equal(latents, expected)
    assert trace.computed.all()


def test_of_a_video_the_first_block_is_the_first_over_space():
    _, ran, trace = ours(stdit3(), FirstBlockConfig(100.0))
    assert ran == [list(range(STEPS)), [0], [0], [0]]
    assert trace.orders[1].tolist() == [-1, 0, 0, 0]


# MagCache

#: Measured on nothing: some grow, some shrink, the last a lot.
RATIOS = (1.0, 1.21, 1.117, 1.0625, 1.031, 1.039, 1.023, 0.98, 1.0, 1.008, 0.965, 0.89)


@pytest.mark.parametrize(
    "how",
    [
        {"threshold": 0.06},
        {"threshold": 0.2, "retention": 0.0},
        {"threshold": 9.0, "max_skips": 2, "retention": 0.4},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [12, 17, 5])
def test_magnitudes_decide_as_in_diffusers(how, count):
    ratios = [RATIOS[i % 12] for i in range(count)]
    latents, ran, trace = ours(pixart(), MagCacheConfig(tuple(ratios), **how))
    names = {"max_skips": "max_skip_steps", "retention": "retention_ratio"}
    given = {names.get(name, name): value for name, value in how.items()}
    config = TheirMagCacheConfig(mag_ratios=ratios, num_inference_steps=STEPS, **given)
    expected, theirs_ran = theirs(pixart(), apply_mag_cache, config)
    assert ran == theirs_ran
    assert torch.equal(latents, expected)
    planned = MagCacheConfig(tuple(ratios), **how).plan_steps(STEPS)
    assert trace.computed.nonzero()[0].tolist() == ran[0] == list(planned)
    assert len(planned) < STEPS


def test_ratios_are_measured_as_in_diffusers(model, capsys, tmp_path):
    runs = []
    for _ in range(2):
        with record_ratios(model) as ratios:
            expected = denoise(model, num_steps=STEPS)
        runs.append(ratios)
    assert runs[0] == runs[1]
    assert mean_ratios(runs) == pytest.approx(runs[0])
    config = TheirMagCacheConfig(calibrate=True, num_inference_steps=STEPS)
    latents, _ = theirs(model, apply_mag_cache, config)
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[1.0")]
    assert json.loads(printed) == pytest.approx(runs[0], rel=1e-6)
    assert torch.equal(latents, expected)
    (tmp_path / "ratios.json").write_text(printed)
    assert MagCacheConfig(file=str(tmp_path / "ratios.json")).ratios == tuple(json.loads(printed))


def test_ratios_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"mag needs ratios calibrated.*--option mag.file=PATH"):
        MagCacheConfig()
    with pytest.raises(ValueError, match=r"ratios must be a number from 1e-06 to 1e.06, got 0"):
        MagCacheConfig((1.0, 0.0))
    (tmp_path / "ratios.json").write_text('{"1": 1.0}')
    with pytest.raises(ValueError, match=r"ratios.json is no list of numbers"):
        MagCacheConfig(file=str(tmp_path / "ratios.json"))
    (tmp_path / "ratios.json").write_text("1.0, 0.9")
    with pytest.raises(ValueError, match=r"ratios.json is no JSON list of ratios"):
        MagCacheConfig(file=str(tmp_path / "ratios.json"))
    with pytest.raises(ValueError, match="MagCache needs the number of steps: pass num_steps"):
        tracache.attach(pixart(), MagCacheConfig(RATIOS))
    for runs in ([], [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match="runs of equally many steps"):
            mean_ratios(runs)


# EasyCache


class Threefold(nn.Module):
    """Its output follows its input three times as fast."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Identity()])

    def forward(self, x, timestep):
        return 3.0 * self.layers[0](x)


def test_the_rate_of_change_decides_as_by_hand():
    """K = 3, so that the output is taken to change as its input does, relative to it."""
    model = Threefold()
    handle = tracache.attach(model, EasyCacheConfig(threshold=0.2), num_steps=8)
    found = []
    for step in range(8):
        x = torch.full((1, 2, 3), 1.0 + 0.1 * step)
        found.append(model(x, torch.tensor([900.0 - 100 * step])).unique().item())
    # .1/1.1 and twice that are below .2, thrice is not; of 1.4 one .1 is, then two, then the last.
    assert handle.trace.computed.tolist() == [True, True, False, False, True, False, False, True]
    # Skipped: the input, and what the output last was beyond it.
    assert found == pytest.approx([3.0, 3.3, 1.2 + 2.2, 1.3 + 2.2, 4.2, 1.5 + 2.8, 1.6 + 2.8, 5.1])


@pytest.mark.parametrize(
    "name",
    [
        "FluxTransformer2DModel",
        "ZImageTransformer2DModel",
        "UNet2DConditionModel",
        "WanTransformer3DModel",
        "LTX2VideoTransformer3DModel",
    ],
)
def test_any_denoiser_will_do(name):
    model = make(name)
    inputs, latents = Inputs(name, model), Arguments(model).latents
    given = inputs(1.0)

    def call(share):
        # What a run conditions on stays; times and latents change.
        times = {k: v for k, v in inputs(share).items() if k == "t" or "time" in k}
        scaled = pytree.tree_map(lambda x: (1.0 + share) * x, given[latents])
        return model(**{**given, **times, latents: scaled})

    shares = (0.9, 0.6, 0.3)
    expected = [call(share) for share in shares]
    handle = tracache.attach(model, EasyCacheConfig(threshold=100.0))
    found = [call(share) for share in shares]
    assert handle.trace.computed.tolist() == [True, True, False]
    for x, y in zip(found[:2], expected[:2], strict=True):
        assert all(map(torch.equal, leaves(x), leaves(y)))
    assert type(found[2]) is type(expected[2])
    assert [x.shape for x in leaves(found[2])] == [x.shape for x in leaves(expected[2])]
    assert not any(map(torch.equal, leaves(found[2]), leaves(expected[2])))


def test_a_learned_variance_is_repeated():
    """DiT returns eight channels for four: the first four follow the input."""
    model = dit()
    handle = tracache.attach(model, EasyCacheConfig(threshold=100.0))
    label, seen = torch.tensor([1]), []
    for seed, time in enumerate((900, 600, 300)):
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        seen.append((x, model(x, timestep=torch.tensor([time]), class_labels=label).sample))
    assert handle.trace.computed.tolist() == [True, True, False]
    (_, _), (before, computed), (after, skipped) = seen
    torch.testing.assert_close(skipped[:, :4], after + computed[:, :4] - before)
    assert torch.equal(skipped[:, 4:], computed[:, 4:])


# SeaCache


def as_diffusers_wants(model, args, kwargs):
    """Latents one by one, as [channels, frames, height, width]."""
    return [x[:, None] for x in kwargs.get("hidden_states", args[0] if args else None)]


@pytest.mark.parametrize(
    "how",
    [
        {"threshold": 0.8},
        {"threshold": 0.6, "order": 0, "power": 2.0},
        {"threshold": 9.0, "max_skips": 3},
    ],
    ids=str,
)
def test_filtered_latents_decide_as_in_diffusers(model, how):
    latents, ran, trace = ours(model, SeaCacheConfig(**how))
    names = {
        "order": "residual_order",
        "max_skips": "max_consecutive_cached",
        "power": "power_exp",
    }
    given = {names.get(name, name): value for name, value in how.items()}
    made = scheduler("ddim")
    made.set_timesteps(STEPS)
    sigma, step = noise_over_signal(made, ""), iter(range(STEPS))

    def tell(*_):
        i = next(step)
        noise = sigma(float(made.timesteps[i]))
        # Theirs is the share of noise in a rectified flow.
        where = {"sigma": noise / (1.0 + noise), "num_inference_steps": STEPS}
        _set_cache_context(model, CacheContext("run", step_index=i, **where))

    model.register_forward_pre_hook(tell)
    config = TheirSeaCacheConfig(raw_vision_callback=as_diffusers_wants, **given)
    expected, theirs_ran = theirs(model, apply_sea_cache, config)
    assert ran == theirs_ran
    assert 1 < len(ran[0]) < STEPS
    assert trace.computed.nonzero()[0].tolist() == ran[0]
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


def test_the_filter_keeps_what_is_alike_and_drops_what_is_fine():
    even = torch.ones(1, 1, 8, 8)
    fine = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    kept = [keep_signal(even + fine, sigma, 3.0) for sigma in (1e-3, 1.0, 100.0)]
    shares = [(x.std() / x.mean()).item() for x in kept]
    # Wiener's, by hand: 1 / (1 + σ² f³) of the finest, f = 1/2, beside the whole mean.
    assert shares == pytest.approx([8 / 8.000001, 8 / 9, 8 / 10008], rel=0.02)


def test_without_a_noise_schedule_it_is_refused():
    with pytest.raises(ValueError, match="SeaCache needs the noise schedule: pass scheduler="):
        tracache.attach(pixart(), SeaCacheConfig())
