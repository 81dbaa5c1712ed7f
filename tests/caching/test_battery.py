"""Every denoiser of the installed diffusers: found by going through it, none by name."""

from __future__ import annotations

import inspect
import warnings
from functools import cache

import pytest
import torch
from torch.utils import _pytree as pytree

import tracache
from tests.caching.zoo import Inputs, configurations, denoisers, make
from tracache import TraCacheConfig
from tracache.caching.discover import Arguments, discover_blocks
from tracache.caching.tail import is_feature

NAMES = sorted(denoisers())
#: Every second step computes: the first skipped one is reuse, the second linear.
CONFIG = TraCacheConfig(stride=2, max_order=1, order="fixed")
#: One computes, and the rest of its kind are skipped.
CONFIG_LONG = TraCacheConfig(stride=9, max_order=0)
SHARES = (0.9, 0.7, 0.6, 0.25)


class Counting:
    """Steps of a scheduler, counted by itself; the denoiser may be handed what it likes."""

    def __init__(self, count):
        self.timesteps = torch.linspace(1000.0, 100.0, count)
        self.step_index = None

    def step(self):
        self.step_index = (self.step_index or 0) + 1


class Tried:
    """One denoiser and what came of running it."""

    def __init__(self, name):
        self.model = make(name)
        self.inputs = Inputs(name, self.model)
        self.arguments = Arguments(self.model)
        self.blocks = discover_blocks(self.model)
        #: What a run keeps: everything but the latents and the times.
        self.given = self.inputs(0.5)
        self.ran = self.count_blocks()
        self.before = [set(vars(module)) for module in self.model.modules()]
        self.plain = self.call(0.5)
        self.handle = tracache.attach(self.model, CONFIG)
        self.first = self.run()
        self.computed = self.handle.trace.computed.tolist()
        self.calls = list(self.ran)

    @property
    def takes_return_dict(self):
        return "return_dict" in inspect.signature(type(self.model).forward).parameters

    def doubled(self, inputs=None):
        """Return inputs of twice the batch, where tensors begin with the batch."""
        inputs = self.given if inputs is None else inputs
        batch = len(inputs[self.arguments.latents])

        def twice(x):
            batched = isinstance(x, torch.Tensor) and x.dim() and len(x) == batch
            return torch.cat([x, x]) if batched else x

        return pytree.tree_map(twice, inputs)

    @torch.no_grad()
    def call(self, share, seed=0, double=False, **more):
        """Call the denoiser at a share of the noise; all tensors of the output, copied."""
        new = self.inputs(share, seed)
        new = self.doubled(new) if double else new
        fresh = {k: v for k, v in new.items() if "time" in k or k == "t"}
        fresh[self.arguments.latents] = new[self.arguments.latents]
        output = self.model(**{**self.given, **fresh, **more})
        return [x.clone() for x in pytree.tree_leaves(output) if is_feature(x)]

    def run(self):
        outputs = []
        for seed, share in enumerate(SHARES):
            self.ran.append(0)
            outputs.append(self.call(share, seed))
        return outputs

    def count_blocks(self):
        """Count, step by step, how often a block's own forward runs."""
        ran = [0]
        for block in self.blocks:
            forward = type(block.module).forward.__get__(block.module)

            def counted(*args, forward=forward, path=block.path, **kwargs):
                ran[-1] += path not in self.spared
                return forward(*args, **kwargs)

            block.module.forward = counted
        return ran

    @property
    def tail(self):
        return next(iter(self.handle._stack.tails.values()), None)

    @property
    def spared(self):
        """Blocks that always compute, being little and read by what is not a block."""
        tail = self.tail if hasattr(self, "handle") else None
        return {self.blocks[i].path for i in tail.always} if tail else set()


@cache
def tried(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Tried(name)


@pytest.fixture(params=NAMES)
def one(request):
    if request.param not in configurations():
        pytest.fail(f"{request.param} is new: give it a tiny configuration in tests/data/denoisers")
    return tried(request.param)


def close(outputs, others):
    return all(
        torch.allclose(x, y, rtol=1e-4, atol=1e-5 * float(y.abs().max() + 1))
        for x, y in zip(outputs, others, strict=True)
    )


def same(outputs, others):
    return all(torch.equal(x, y) for x, y in zip(outputs, others, strict=True))


def test_skipped_steps_run_no_block(one):
    assert one.computed == [True, False, True, False]
    ran = one.calls[-len(SHARES) :]
    assert ran[0] > 0
    assert ran[2] > 0
    assert (ran[1], ran[3]) == (0, 0)


class Replaced:
    """The method told plainly: all blocks run, and the live tensors alone are replaced."""

    def __init__(self, one):
        self.one, self.history, self.call = one, {}, 0
        # Calls of what only feeds blocks are noted too, and left as they are here.
        calls = [c for c, note in enumerate(one.tail.notes) if note.block < len(one.blocks)]
        self.live = [(calls.index(call), i) for call, i in one.tail.live]
        self.hooks = [
            block.module.register_forward_hook(self.replace)
            for index, block in enumerate(one.blocks)
            if index not in one.tail.always
        ]

    def replace(self, module, args, output):
        leaves, spec = pytree.tree_flatten(output)
        for i in [i for call, i in self.live if call == self.call]:
            leaves[i] = self.forecast((self.call, i), leaves[i])
        self.call += 1
        return pytree.tree_unflatten(leaves, spec)

    def forecast(self, key, feature):
        past, here = self.history.setdefault(key, []), self.time
        if self.step % 2 == 0:
            past.append((here, feature.clone()))
            return feature
        if len(past) == 1:
            return past[0][1].clone()
        (t0, f0), (t1, f1) = past[-2:]
        return f1 + (f1 - f0) * ((here - t1) / (t1 - t0))

    def run(self):
        outputs = []
        for self.step, share in enumerate(SHARES):
            self.call, self.time = 0, self.time_of(share)
            outputs.append(self.one.call(share, self.step))
        for hook in self.hooks:
            hook.remove()
        return outputs

    def time_of(self, share):
        time = self.one.inputs(share)[self.one.arguments.time]
        return float(torch.as_tensor(time).double().mean())


def test_forecasts_equal_a_run_in_which_live_tensors_alone_are_replaced(one):
    """Reuse and linear alike: whatever else blocks would have computed reaches no output."""
    if not hasattr(one.model, "_diffusers_hook"):
        pytest.skip("detached")
    if not (one.tail and one.tail.live):
        pytest.skip("its output has the trajectory, as a whole")
    one.handle.detach()
    expected = Replaced(one).run()
    one.handle = tracache.attach(one.model, CONFIG)
    for actual, literal in zip(one.run(), expected, strict=True):
        assert close(actual, literal)


def test_a_second_run_equals_the_first(one):
    for actual, first in zip(one.run(), one.first, strict=True):
        assert same(actual, first)
    assert one.handle.trace.computed.tolist() == one.computed


def test_constant_inputs_give_equal_outputs(one):
    """The scheduler counts, so that steps are told apart at one and the same time."""
    one.handle.detach()
    scheduler = Counting(4)
    handle = tracache.attach(one.model, CONFIG, scheduler=scheduler)
    outputs = []
    for _ in scheduler.timesteps:
        outputs.append(one.call(0.5))
        scheduler.step()
    assert handle.trace.computed.tolist() == [True, False, True, False]
    assert all(close(output, outputs[0]) for output in outputs)
    handle.detach()
    one.handle = tracache.attach(one.model, CONFIG)


def test_another_kind_of_call_midway_computes(one):
    """Another way of answering stands for another size: all of it is the call's signature."""
    one.handle.detach()
    plain = one.call(SHARES[2], 2, return_dict=False) if one.takes_return_dict else None
    one.handle = tracache.attach(one.model, CONFIG_LONG)
    if not one.takes_return_dict:
        pytest.skip("there is one way of calling it")
    for seed, share in enumerate(SHARES):
        one.ran.append(0)
        output = one.call(share, seed, return_dict=seed < 2)
        assert (one.ran[-1] > 0) == (seed in (0, 2))
        if seed == 2:
            assert same(output, plain)
    one.handle.detach()
    one.handle = tracache.attach(one.model, CONFIG)


def test_another_batch_midway_computes(one):
    one.handle.detach()
    given, one.given = one.given, one.doubled()
    try:
        plain = one.call(SHARES[2], 2, double=True)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        one.given = given
        one.handle = tracache.attach(one.model, CONFIG)
        pytest.skip("its inputs are no batch")
    two, one.given = one.given, given
    one.handle = tracache.attach(one.model, CONFIG_LONG)
    for seed, share in enumerate(SHARES):
        one.ran.append(0)
        one.given = two if seed > 1 else given
        output = one.call(share, seed, double=seed > 1)
        assert (one.ran[-1] > 0) == (seed in (0, 2))
        if seed == 2:
            assert same(output, plain)
    one.given = given
    one.handle.detach()
    one.handle = tracache.attach(one.model, CONFIG)


def test_detached_is_never_attached(one):
    """The last of them: nothing is left on the denoiser."""
    one.handle.detach()
    assert same(one.call(0.5), one.plain)
    for module, before in zip(one.model.modules(), one.before, strict=True):
        assert set(vars(module)) == before
    one.handle = tracache.attach(one.model, CONFIG)
