"""Stock pipelines end to end, by their own calls: equal to runs in which every block runs.

In a literal run the denoiser computes at every step, and at skipped ones what it found is replaced
by arithmetic: as published each live tensor of its blocks, by default what the scheduler is handed.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch.utils import _pytree as pytree

import tracache
from tests.caching.pipes import PIPES
from tracache import TraCacheConfig
from tracache.caching.discover import Arguments, discover_blocks
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.methods.planned_run import PlannedRun
from tracache.caching.pipeline import PipelineHandle, denoisers_of
from tracache.caching.tail import is_feature
from tracache.caching.wrapping import wrap_method

STEPS = 6
#: Every second step computes; the others are reuse, or lie on a line.
PUBLISHED = {
    "reuse": TraCacheConfig.published(2, 1),
    "line": TraCacheConfig(stride=2, max_order=1, order="fixed"),
}
#: Whose steps no plan can be made of, and why.
REFUSED = {
    "CogVideoX, DPM": "steps from more than the model's output",
    "Stable Audio": "conditions the denoiser's output itself",
}


class Tried:
    """One pipeline, and a way to run it."""

    def __init__(self, name):
        self.pipe, self.given = PIPES[name]()
        self.refused = REFUSED.get(name)
        self.pipe.set_progress_bar_config(disable=True)
        self.plain = self.run()

    @torch.no_grad()
    def run(self):
        given = {"output_type": "latent", **self.given}
        generator = torch.Generator().manual_seed(0)
        made = self.pipe(**given, num_inference_steps=STEPS, generator=generator, return_dict=False)
        # What is seen, and what is heard where there is sound.
        found = [x for x in pytree.tree_leaves(made) if x is not None]
        return torch.cat([torch.as_tensor(x).flatten() for x in found])


@cache
def tried(name):
    return Tried(name)


@pytest.fixture(params=PIPES, scope="module")
def one(request):
    return tried(request.param)


def near(found, expected):
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "settings", [{"compute": STEPS}, {"stride": 1}], ids=["default", "published"]
)
def test_where_all_compute_it_is_the_plain_call(one, settings):
    if one.refused and "compute" in settings:
        pytest.skip("no plan can be made of its steps")
    with tracache.accelerate(one.pipe, **settings) as trace:
        assert torch.equal(one.run(), one.plain)
    assert len(trace)
    assert all(trace.computed.all() for trace in trace.traces.values())
    assert torch.equal(one.run(), one.plain)


def test_by_default_it_is_a_run_whose_scheduler_is_handed_the_plan(one):
    if one.refused:
        with pytest.raises(ValueError, match=one.refused), tracache.accelerate(one.pipe):
            one.run()
        return
    with tracache.accelerate(one.pipe) as trace:
        found = one.run()
        assert torch.equal(one.run(), found)
    steps = len(trace)
    assert trace.computed.sum() == max(1, round(0.4 * steps))
    runs = {}

    def step(inner, output, timestep, sample, *args, **kwargs):
        # The pipeline's, or a copy of it.
        scheduler = inner.__self__
        if scheduler not in runs:
            first = getattr(scheduler, "begin_index", None)
            times = [float(t) for t in scheduler.timesteps]
            first = times.index(float(timestep)) if first is None else first
            runs[scheduler] = PlannedRun(scheduler, PlannedConfig(), first)
        output, sample = runs[scheduler].hand(output, sample)
        return inner(output, timestep, sample, *args, **kwargs)

    undo = wrap_method(one.pipe.scheduler, "step", step, copied=step)
    try:
        near(found, one.run())
    finally:
        undo()


class Literal:
    """The published method told plainly: all blocks run, and live tensors alone are replaced.

    Which these are was proved by the run before. A call of a step is told by how manieth it is.
    """

    def __init__(self, one, handle, line):
        self.one, self.history, self.line = one, {}, line
        self.tails = {n: handle._handles[n]._stack.tails for n in denoisers_of(one.pipe)}
        handle.detach()
        self.step, self.ordinal = 0, 0
        self.first: dict[str, int] = {}
        self.undo = [wrap_method(one.pipe.scheduler, "step", self.next_step)]
        for name, denoiser in denoisers_of(one.pipe).items():
            self.watch(name, denoiser)

    def next_step(self, inner, *args, **kwargs):
        self.step, self.ordinal = self.step + 1, 0
        return inner(*args, **kwargs)

    def watch(self, name, denoiser):
        arguments, blocks = Arguments(denoiser), discover_blocks(denoiser)

        def before(module, args, kwargs):
            self.tail = self.tails[name][arguments.signature(args, kwargs)]
            # Calls of what only feeds blocks are noted too, and left as they are here.
            calls = [c for c, note in enumerate(self.tail.notes) if note.block < len(blocks)]
            self.live = {(calls.index(call), i) for call, i in self.tail.live}
            self.first.setdefault(name, self.step)
            self.place = self.step - self.first[name]
            self.key, self.call = (name, self.ordinal), 0
            self.ordinal += 1

        def after(module, args, output):
            if not self.tail.live:
                return self.replace(output, lambda call: True, 0)
            return output

        def block(index):
            def answer(module, args, output):
                if index in self.tail.always or not self.tail.live:
                    return output
                self.call += 1
                return self.replace(output, lambda key: key in self.live, self.call - 1)

            return answer

        hooks = [denoiser.register_forward_pre_hook(before, with_kwargs=True)]
        hooks.append(denoiser.register_forward_hook(after))
        for index, found in enumerate(blocks):
            hooks.append(found.module.register_forward_hook(block(index)))
        self.undo += [hook.remove for hook in hooks]

    def replace(self, output, is_live, call):
        leaves, spec = pytree.tree_flatten(output)
        for i, leaf in enumerate(leaves):
            if is_feature(leaf) and is_live((call, i)):
                leaves[i] = self.forecast((*self.key, call, i), leaf)
        return pytree.tree_unflatten(leaves, spec)

    def forecast(self, key, feature):
        here = float(self.one.pipe.scheduler.timesteps[self.begin + self.step])
        past = self.history.setdefault(key, [])
        if self.place % 2 == 0:
            past.append((here, feature.clone()))
            return feature
        if len(past) == 1 or not self.line:
            return past[-1][1].clone()
        (t0, f0), (t1, f1) = past[-2:]
        return f1 + (f1 - f0) * ((here - t1) / (t1 - t0))

    @property
    def begin(self):
        steps = len(self.one.pipe.scheduler.timesteps)
        return getattr(self.one.pipe.scheduler, "begin_index", None) or steps - self.one.steps

    def run(self):
        try:
            return self.one.run()
        finally:
            for undo in self.undo:
                undo()


@pytest.mark.parametrize("way", PUBLISHED)
def test_as_published_it_is_a_run_in_which_live_tensors_alone_are_replaced(one, way):
    handle = PipelineHandle(one.pipe, PUBLISHED[way])
    found = one.run()
    assert torch.equal(one.run(), found)
    for trace in handle.traces.values():
        assert trace.computed.tolist() == [i % 2 == 0 for i in range(len(trace))]
    one.steps = sum(len(t) for n, t in handle.traces.items() if "," not in n)
    near(found, Literal(one, handle, way == "line").run())
