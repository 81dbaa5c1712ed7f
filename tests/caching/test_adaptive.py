"""Methods that decide as they run, each held against an independent account of it."""

from contextlib import contextmanager

import pytest
import torch
from diffusers.hooks import (
    FirstBlockCacheConfig,
    HookRegistry,
    apply_first_block_cache,
)
from diffusers.hooks.hooks import CacheContext, _set_cache_context

import tracache
from tests.tiny import denoise, dit, pixart, scheduler, stdit3
from tracache.caching.layouts import find_blocks, find_parts
from tracache.caching.methods import FirstBlockConfig

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
