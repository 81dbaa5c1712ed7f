"""Steps told apart whatever a denoiser calls time, and the calls of one step that nobody names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from torch import nn

import tracache
from tracache import TraCacheConfig
from tracache.caching.clock import RunClock, read_timestep

CONFIG = TraCacheConfig(stride=3, max_order=1, order="fixed")


class Block(nn.Module):
    def forward(self, x):
        return torch.tanh(x)


class Denoiser(nn.Module):
    """Adds what it is told of text and time to tokens, and puts them through blocks."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x, timestep, text, skip=()):
        h = x + text.mean() + timestep.float().mean() / 1000
        for number, block in enumerate(self.layers):
            h = h if number in skip else block(h)
        return 2 * h


def flow(steps=9):
    made = FlowMatchEulerDiscreteScheduler()
    made.set_timesteps(steps)
    return made


@torch.no_grad()
def denoise(model, made, time=lambda t: t, texts=None, dtype=torch.float32, start=0, calls=None):
    """A loop of calls for each text; returns what each call found."""
    texts = [torch.zeros(3)] if texts is None else texts
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for i, t in enumerate(made.timesteps[start:]):
        outs = []
        for number, text in enumerate(texts):
            if calls is None or calls(i, number):
                outs.append(model(x, time(t).expand(2).to(dtype), text))
                found.append(outs[-1])
        x = made.step(outs[0], t, x).prev_sample
    return found


def computed(trace):
    return np.flatnonzero(trace.computed).tolist()


# What a denoiser is handed as time


WAYS = {
    "as it is": lambda t: t,
    "scaled": lambda t: t / 1000,
    "rising": lambda t: 1 - t / 1000,
    "rising, not scaled": lambda t: 1000 - t,
    "something else": lambda t: torch.log(t + 1),
}


@pytest.mark.parametrize("with_scheduler", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("way", WAYS)
def test_time_may_rise_and_be_scaled(way, with_scheduler):
    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG, scheduler=made if with_scheduler else None)
    for _ in range(2):
        made.set_timesteps(9)
        # A pipeline encodes its prompt once per run.
        denoise(model, made, WAYS[way], [torch.zeros(3)])
        assert computed(handle.trace) == [0, 3, 6]
        assert len(handle.trace) == 9
    if with_scheduler:
        assert np.allclose(handle.trace.timesteps, made.timesteps, rtol=1e-6)


@pytest.mark.parametrize("way", ["as it is", "scaled", "rising"])
def test_the_number_of_steps_is_the_schedulers_whatever_the_units(way):
    model, made = Denoiser(), flow()
    config = TraCacheConfig(stride=3, last_step=True)
    handle = tracache.attach(model, config, scheduler=made)
    denoise(model, made, WAYS[way])
    assert computed(handle.trace) == [0, 3, 6, 8]
    made.set_timesteps(9)
    made.set_begin_index(4)
    denoise(model, made, WAYS[way], start=4)
    assert computed(handle.trace) == [0, 3, 4]
    assert np.allclose(handle.trace.timesteps, made.timesteps[4:], rtol=1e-6)


def test_timesteps_that_round_together_do_not_split_a_run():
    """In bfloat16, 400 steps of flow lie closer than numbers do."""
    model, made = Denoiser(), flow(400)
    handle = tracache.attach(model, CONFIG, scheduler=made)
    denoise(model, made, lambda t: t / 1000, dtype=torch.bfloat16)
    assert len({float((t / 1000).bfloat16()) for t in made.timesteps}) < 350
    assert computed(handle.trace) == list(range(0, 400, 3))


def test_time_per_token_is_its_mean():
    waiting = torch.tensor([[0.0, 0.0, 900.0, 900.0], [0.0, 0.0, 900.0, 900.0]])
    assert read_timestep(waiting) == 450
    assert read_timestep(torch.full((7,), 0.1)) == float(torch.tensor(0.1))
    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG)
    frames = torch.tensor([0.0, 1.0, 1.0])
    text, x = torch.zeros(3), torch.zeros(2, 4)
    for t in made.timesteps:
        model(x, (t * frames).expand(2, 3).contiguous(), text)
    assert computed(handle.trace) == [0, 3, 6]


def test_a_list_of_latents_has_no_shape_and_needs_none():
    class Listed(Denoiser):
        def forward(self, x, t, text):
            return [super(Listed, self).forward(item, t, text) for item in x]

    model = Listed()
    handle = tracache.attach(model, CONFIG)
    text = torch.zeros(3)
    for t in range(9):
        model([torch.zeros(1, 4), torch.zeros(1, 5)], torch.tensor([t / 9]), text)
    assert computed(handle.trace) == [0, 3, 6]
    model([torch.zeros(1, 4), torch.zeros(1, 6)], torch.tensor([0.99]), text)
    assert computed(handle.trace) == [0]


def test_one_way_up_is_not_taken_for_runs_of_one_step():
    clock, latents, text = RunClock(), torch.zeros(1), torch.zeros(3)
    starts = [clock.tick(latents, t, [text]) for t in (0.1, 0.2, 0.5, 0.1, 0.3)]
    assert starts == [True, False, False, True, False]
    clock = RunClock()
    for t in (0.1, 0.2, 0.3, 0.4):
        assert clock.tick(latents, t, [torch.zeros(3)])
    with pytest.raises(RuntimeError, match="cannot be told"):
        clock.tick(latents, 0.5, [torch.zeros(3)])


# Calls of one step


@pytest.mark.parametrize("with_scheduler", [True, False], ids=["told", "not told"])
def test_two_calls_that_nobody_names_have_a_history_each(with_scheduler):
    texts = [torch.full((3,), 1.0), torch.full((3,), -1.0)]
    model, made = Denoiser(), flow()
    tracache.attach(model, CONFIG)
    # The loop follows the first call, so that it goes the same way without the second.
    alone = denoise(model, made, WAYS["scaled"], texts[:1])
    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG, scheduler=made if with_scheduler else None)
    for _ in range(2):
        made.set_timesteps(9)
        found = denoise(model, made, WAYS["scaled"], texts)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found[::2], alone, strict=True))
        assert [computed(trace) for trace in handle.traces.values()] == [[0, 3, 6]] * 2
        assert set(handle.traces) == {None, "call 2"}
        assert len(handle.trace) == 9
    # What the second call repeats is its own.
    assert torch.equal(found[3], found[1])
    assert not torch.equal(found[3], found[2])


def test_where_one_of_two_calls_stays_away_the_other_goes_on():
    """Guidance that ends half way leaves the conditional call, which came second."""
    texts = [torch.full((3,), 1.0), torch.full((3,), -1.0)]
    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG, scheduler=made)
    found = denoise(model, made, texts=texts, calls=lambda i, number: number == 1 or i < 4)
    assert computed(handle.traces["call 2"]) == [0, 3, 6]
    assert len(handle.traces["call 2"]) == 9
    # And a call that comes back computes.
    made.set_timesteps(9)
    found = denoise(model, made, texts=texts, calls=lambda i, number: number == 0 or i in (1, 2, 6))
    assert len(found) == 12
    assert computed(handle.traces["call 2"]) == [0]


def test_a_named_call_that_pauses_computes_when_it_comes_back():
    model, made = Denoiser(), flow(12)
    handle = tracache.attach(model, CONFIG, scheduler=made)
    text, x = torch.zeros(3), torch.zeros(2, 4)
    for i, t in enumerate(made.timesteps):
        for name in ("cond", "uncond"):
            if name == "cond" or not 4 <= i < 7:
                with handle.context(name):
                    out = model(x, t.expand(2) / 1000, text)
        made.step(out, t, x)
    assert computed(handle.traces["cond"]) == [0, 3, 6, 9]
    paused = handle.traces["uncond"]
    assert computed(paused) == [0, 3]
    assert np.allclose(paused.timesteps, made.timesteps[7:])


def test_a_call_with_fewer_blocks_has_a_plan_of_its_own():
    """Skip-layer guidance: the same conditions, other blocks."""
    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG, scheduler=made)
    text, x = torch.zeros(3), torch.randn(2, 4)
    with torch.no_grad():
        for t in made.timesteps:
            whole = model(x, t.expand(2), text, skip=())
            part = model(x, t.expand(2), text, skip=(1,))
            made.step(whole, t, x)
            assert not torch.equal(whole, part)
    assert [computed(trace) for trace in handle.traces.values()] == [[0, 3, 6]] * 2
    assert len(handle._stack.tails) == 2


def test_the_same_call_twice_without_a_scheduler_is_refused():
    model, text, x = Denoiser(), torch.zeros(3), torch.zeros(2, 4)
    tracache.attach(model, CONFIG)
    for t in (900.0, 900.0, 800.0):
        model(x, torch.full((2,), t), text)
    with pytest.raises(RuntimeError, match="twice at the same timestep"):
        model(x, torch.full((2,), 800.0), text)


def test_windows_of_one_step_with_a_scheduler_are_calls_of_their_own():
    model, made, text = Denoiser(), flow(), torch.zeros(3)
    handle = tracache.attach(model, CONFIG, scheduler=made)
    windows = torch.randn(3, 2, 4)
    for t in made.timesteps:
        for window in windows:
            out = model(window, t.expand(2), text)
        made.step(out, t, windows[0])
    assert [computed(trace) for trace in handle.traces.values()] == [[0, 3, 6]] * 3


def test_schedulers_that_count_no_steps():
    model, made = Denoiser(), DDIMScheduler()
    made.set_timesteps(9)
    handle = tracache.attach(model, CONFIG, scheduler=made)
    texts = [torch.full((3,), 1.0), torch.full((3,), -1.0)]
    denoise(model, made, texts=texts)
    assert [computed(trace) for trace in handle.traces.values()] == [[0, 3, 6]] * 2


# Reading the trace


def test_a_pipelines_reset_leaves_the_trace():
    from diffusers.hooks import HookRegistry

    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG, scheduler=made)
    first = denoise(model, made)
    HookRegistry.check_if_exists_or_initialize(model).reset_stateful_hooks()
    assert computed(handle.trace) == [0, 3, 6]
    made.set_timesteps(9)
    again = denoise(model, made)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(handle.trace) == 9
    handle.reset()
    assert len(handle.trace) == 0


def test_who_holds_the_trace_sees_the_first_context():
    model, made = Denoiser(), flow()
    handle = tracache.attach(model, CONFIG, scheduler=made)
    held = handle.trace
    with handle.context("cond"):
        denoise(model, made)
    assert computed(held) == [0, 3, 6]
    assert held is handle.trace
    assert set(handle.traces) == {None, "cond"}
