"""Pipelines with several denoisers: each found by what it is, with a trace of its own."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanPipeline,
)
from torch import nn

import tracache
from tests.caching.pipes import PIPES
from tests.caching.test_pipelines import wan
from tests.caching.zoo import make
from tracache.caching.hooks import is_hooked
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.pipeline import PipelineHandle, companions_of, denoisers_of, scheduler_of
from tracache.caching.steps import remaining_steps
from tracache.compare.sampling import Decided, watch_loop

STEPS = 8


class Timed(nn.Module):
    def forward(self, x, timestep_ratio):
        return x


class Vocoder(nn.Module):
    def forward(self, x, time_last=False):
        return x


def test_denoisers_are_what_is_told_the_time_whatever_they_are_called():
    one, two, control = Timed(), Timed(), ControlNetModel.__new__(ControlNetModel)
    nn.Module.__init__(control)
    pipe = SimpleNamespace(
        vae=nn.Linear(1, 1),
        vocoder=Vocoder(),
        tokenizer=object(),
        prior_prior=one,
        decoder=two,
        again=one,
        controlnet=control,
        transformer_2=None,
        scheduler=object(),
        prior_scheduler=object(),
        low_res_scheduler=object(),
        unit_scheduler=None,
    )
    assert denoisers_of(pipe) == {"prior_prior": one, "decoder": two}
    assert companions_of(pipe) == {"controlnet": control}
    assert [scheduler_of(pipe, name) for name in ("prior_prior", "decoder", "unit")] == [
        "prior_scheduler",
        "scheduler",
        "scheduler",
    ]
    assert scheduler_of(SimpleNamespace(denoiser=one), "denoiser") is None
    with (
        pytest.raises(TypeError, match="SimpleNamespace has no denoiser to accelerate"),
        tracache.accelerate(SimpleNamespace(vae=nn.Linear(1, 1))),
    ):
        pass


@pytest.fixture(scope="module")
def experts():
    """Wan 2.2: of eight steps, three go to one expert and five to the other."""
    one, given, size = wan()
    pipe = WanPipeline(
        None,
        None,
        one.vae,
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
        one.transformer,
        make("WanTransformer3DModel"),
        boundary_ratio=0.7,
    )
    pipe.set_progress_bar_config(disable=True)

    def run():
        return pipe(
            **given,
            height=size,
            width=size,
            num_inference_steps=STEPS,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
        )[0]

    return pipe, run


def computed(traces):
    return {name: (trace.computed.nonzero()[0].tolist(), len(trace)) for name, trace in traces}


PLANNED = {"full_steps": (0, 2, 3, 7), "space": "noise"}
#: Settings → what each expert computes, counted from its first step.
SHARED = [
    (PLANNED, [0, 2], [0, 4]),
    ({**PLANNED, "space": "output"}, [0, 2], [0, 4]),
    ({"space": "blocks", "compute": 4}, [0, 2], [0, 4]),
    ({"space": "blocks", "compute": 8}, [0, 1, 2], [0, 1, 2, 3, 4]),
    ({"space": "blocks", "full_steps": (0, 2, 5)}, [0, 2], [0, 2]),
    ({"stride": 3}, [0], [0, 3]),
]


@pytest.mark.parametrize("settings, first, second", SHARED)
def test_two_experts_take_turns(experts, settings, first, second):
    pipe, run = experts
    plain = run()
    with tracache.accelerate(pipe, **settings) as trace:
        found = run()
        assert torch.equal(run(), found)
    planned = settings.get("space") in ("noise", "output")
    others = () if planned else (", uncond",)
    expected = {}
    for name, steps, length in (("transformer", first, 3), ("transformer_2", second, 5)):
        for call in ("", *others):
            expected[name + call] = (steps, length)
    assert computed(trace.traces.items()) == expected
    # By itself, it is the run's where there is one plan, else the first denoiser's.
    assert len(trace) == len(trace.trace) == (STEPS if planned else 3)
    assert (trace.timesteps == trace.trace.timesteps).all()
    assert torch.equal(found, plain) == (settings.get("compute") == STEPS)
    assert torch.equal(run(), plain)
    for part in (pipe.transformer, pipe.transformer_2):
        assert not is_hooked(part)
    kept = pickle.loads(pickle.dumps(trace))
    assert (kept.orders == trace.orders).all()


def test_what_others_computed_counts():
    assert remaining_steps(8, 4) == (0, 2, 5, 7)
    assert remaining_steps(5, 4, done=3) == (0, 4)
    assert remaining_steps(2, 4, done=6) == (0,)
    # No history, and so one step more than was asked for.
    assert remaining_steps(5, 1, done=3) == (0,)
    assert remaining_steps(3, 8) == (0, 1, 2)


def test_a_denoiser_that_is_refused_leaves_the_others_as_they_were(experts):
    pipe = experts[0]
    with tracache.accelerate(pipe, stride=2):
        handle = pytest.raises(RuntimeError, match="already attached")
        with handle, tracache.accelerate(pipe, stride=2):
            pass
        assert is_hooked(pipe.transformer)
    taken = tracache.attach(pipe.transformer_2, tracache.TraCacheConfig())
    for settings in ({"stride": 2}, {"compute": 2}):
        with (
            pytest.raises(RuntimeError, match="already attached"),
            tracache.accelerate(pipe, **settings),
        ):
            pass
        assert not is_hooked(pipe.transformer)
    taken.detach()


def test_a_wrapper_of_torch_compile_is_refused_and_told_what_to_do():
    pipe, _, _ = wan()
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")
    for settings in ({}, {"stride": 2}):
        with (
            pytest.raises(TypeError, match=r"compile it in place instead, denoiser\.compile"),
            tracache.accelerate(pipe, **settings),
        ):
            pass


@pytest.mark.parametrize("name", ["SD 1.5 ControlNet", "FLUX.1 ControlNet"])
@pytest.mark.parametrize("space", ["noise", "output"])
def test_controlnets_run_where_a_plan_computes(name, space):
    """At skipped steps nobody reads what they find; as published it may reach the output."""
    pipe, given = PIPES[name]()
    pipe.set_progress_bar_config(disable=True)
    ran = []
    hook = pipe.controlnet.conv_in if hasattr(pipe.controlnet, "conv_in") else None
    (hook or pipe.controlnet.x_embedder).register_forward_hook(lambda *_: ran.append(1))

    def run():
        ran.clear()
        generator = torch.Generator().manual_seed(0)
        pipe(**given, num_inference_steps=STEPS, output_type="latent", generator=generator)
        return len(ran)

    assert run() == STEPS
    with tracache.accelerate(pipe, compute=3, space=space):
        assert (run(), run()) == (3, 3)
    with tracache.accelerate(pipe, stride=2):
        assert run() == STEPS


class Steered:
    """A ControlNet that is asked at some steps only."""

    def __init__(self):
        self.transformer, self.scheduler = Alone(), FlowMatchEulerDiscreteScheduler()
        self.controlnet = TinyControlNet()

    @torch.no_grad()
    def __call__(self):
        x = torch.ones(1, 4)
        self.scheduler.set_timesteps(STEPS)
        for i, t in enumerate(self.scheduler.timesteps):
            residuals = self.controlnet(x, t.expand(1))[0] if i % 2 == 1 else 0
            x = self.scheduler.step(self.transformer(x + residuals, t.expand(1)), t, x)[0]
        return x


class TinyControlNet(nn.Module):
    """What it returns is of another kind than what the denoiser does."""

    def forward(self, x, timestep):
        return [0.1 * x.mean(dim=-1, keepdim=True)]


@pytest.mark.parametrize("space", ["noise", "output"])
def test_a_controlnet_may_be_asked_at_some_steps_only(space):
    pipe = Steered()
    want = pipe()
    with tracache.accelerate(pipe, compute=5, space=space) as trace:
        got = pipe()
    assert trace.computed.sum() == 5
    assert torch.allclose(got, want, rtol=0.2)
    with tracache.accelerate(pipe, compute=STEPS, space=space):
        assert torch.equal(pipe(), want)


class Film:
    """As LTX-2: what is seen steps by the scheduler, what is heard by a copy of it."""

    def __init__(self, order=(0, 1)):
        self.order = order
        self.transformer, self.scheduler = Pair(), FlowMatchEulerDiscreteScheduler()

    @torch.no_grad()
    def __call__(self):
        latents = [torch.ones(1, 4), torch.full((1, 4), 2.0)]
        schedulers = [self.scheduler, copy.deepcopy(self.scheduler)]
        for scheduler in schedulers:
            scheduler.set_timesteps(STEPS)
        for t in self.scheduler.timesteps:
            outputs = self.transformer(*latents, t.expand(1))
            for i in self.order:
                latents[i] = schedulers[i].step(outputs[i], t, latents[i], return_dict=False)[0]
        return tuple(latents)


class Pair(nn.Module):
    def forward(self, seen, heard, timestep):
        return 0.5 * seen, heard * 0 + 3


def test_a_copy_of_the_scheduler_steps_by_itself():
    pipe = Film()
    want = pipe()
    with tracache.accelerate(pipe, compute=4, space="output") as trace:
        got = pipe()
    assert (len(trace), int(trace.computed.sum())) == (STEPS, 4)
    assert torch.allclose(got[0], want[0], rtol=0.05)
    assert not torch.equal(got[0], want[0])
    # What stands still is predicted exactly, so the copy took the steps that it takes alone.
    assert torch.allclose(got[1], want[1])


class Alone(nn.Module):
    """What the two halves of a pair would do, each by itself."""

    def forward(self, x, timestep):
        return torch.sin(x * timestep.reshape(-1, 1) / 300)


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = Alone()
        self.calls = 0

    def forward(self, seen, heard, timestep):
        self.calls += 1
        return self.one(seen, timestep), self.one(heard, timestep)


@pytest.mark.parametrize("placement", ["planned", "measured"])
def test_a_copy_of_the_scheduler_goes_by_the_same_plan(placement):
    """Its latents are carried along as if they were alone, at the steps that the run computes."""
    pipe = Film()
    pipe.transformer = Both()
    with tracache.accelerate(pipe, compute=4, placement=placement) as trace:
        got = pipe()
        again = pipe()
    assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))
    assert (len(trace), int(trace.computed.sum()), pipe.transformer.calls) == (STEPS, 4, 8)
    steps = tuple(np.flatnonzero(trace.computed).tolist())
    for latents, start in zip(got, (1.0, 2.0), strict=True):
        scheduler, x = FlowMatchEulerDiscreteScheduler(), torch.full((1, 4), start)
        denoiser = Alone()
        config = PlannedConfig(full_steps=steps)
        with torch.no_grad():
            handle = tracache.attach(denoiser, config, scheduler=scheduler)
            scheduler.set_timesteps(STEPS)
            for t in scheduler.timesteps:
                x = scheduler.step(denoiser(x, t.expand(1)), t, x, return_dict=False)[0]
            handle.detach()
        assert torch.equal(latents, x)


def test_a_copy_that_goes_other_ways_is_refused():
    pipe = Film(order=(1, 0))  # the copy steps first
    want = pipe()
    with tracache.accelerate(pipe, compute=4, space="noise"):
        with pytest.raises(RuntimeError, match=r"copy of the scheduler.*or before it.*'output'"):
            pipe()
        beside = copy.deepcopy(pipe.scheduler)
    assert torch.equal(pipe()[1], want[1])
    beside.set_timesteps(STEPS)
    beside.step(torch.ones(1, 4), beside.timesteps[0], torch.ones(1, 4))


def test_a_comparison_sees_the_whole_run_of_two_experts(experts):
    pipe, run = experts
    handle = PipelineHandle(pipe, tracache.TraCacheConfig(stride=2, max_order=1))
    decided = Decided(handle)
    with watch_loop(pipe, torch.device("cpu"), lambda step: decided.note()):
        run()
    handle.detach()
    one, two = (handle.traces[name] for name in ("transformer", "transformer_2"))
    assert len(one) < STEPS == len(decided.trace)
    assert decided.trace.computed.tolist() == [*one.computed, *two.computed]
