"""The cache on real transformers: the literal method, runs after runs, detaching."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import tracache
from tests.grids import pairwise
from tests.literal import LiteralTraCache
from tests.tiny import denoise, dit, pixart, scheduler
from tracache import TraCacheConfig, Trace
from tracache.caching.layouts import count_module_calls, find_blocks, find_layout

MODELS = {"pixart": pixart, "dit": dit}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


SETTINGS = (
    {"local_extrapolation": True},
    {"local_extrapolation": False, "warmup": 2},
    {"order": "fixed"},
    {"granularity": "module"},
    {"criterion": "mean"},
)
PLANS = ((2, 1), (2, 3), (3, 2), (4, 3), (3, 0))
LITERAL = pairwise(PLANS, SETTINGS, ("ddim", "dpm", "uneven"), tuple(MODELS))


@pytest.mark.parametrize("plan, settings, kind, model", LITERAL, ids=str, indirect=["model"])
def test_equals_the_literal_method(plan, settings, kind, model):
    """Predicting the last block alone gives the image and every block's orders of Eq. 5–7."""
    stride, max_order = plan
    config = TraCacheConfig(stride=stride, max_order=max_order, spread="batch", **settings)
    handle = tracache.attach(model, config, trace="all")
    actual = denoise(model, kind)
    handle.detach()

    literal = LiteralTraCache(model, stride=stride, max_order=max_order, **settings)
    expected = denoise(model, kind)
    literal.remove()
    orders = np.array(literal.orders)
    ties = {cell for cell in literal.near_ties if orders[cell] != handle.trace.orders[cell]}
    if ties:
        forced = {cell: int(handle.trace.orders[cell]) for cell in ties}
        literal = LiteralTraCache(
            model, stride=stride, max_order=max_order, forced=forced, **settings
        )
        expected = denoise(model, kind)
        literal.remove()
        orders = np.array(literal.orders)

    assert relative(actual, expected) < 1e-4
    assert np.array_equal(handle.trace.orders, orders)
    assert len(ties) <= orders.size // 50


def test_the_orders_differ_from_block_to_block():
    """The comparison above would mean little if every cell had the same order."""
    model = pixart(num_layers=6)
    handle = tracache.attach(model, TraCacheConfig(stride=2, max_order=3), trace="all")
    denoise(model, "dpm", num_steps=20)
    assert {0, 1, 2} <= set(handle.trace.orders.ravel().tolist())
    assert any(len(set(row)) > 1 for row in handle.trace.orders.tolist())


def test_watching_every_block_never_changes_the_image(model):
    config = TraCacheConfig(stride=3, max_order=3)
    handle = tracache.attach(model, config)
    plain, last = denoise(model), handle.trace.orders
    handle.detach()
    handle = tracache.attach(model, config, trace="all")
    watched, every = denoise(model), handle.trace.orders
    assert torch.equal(plain, watched)
    assert np.array_equal(last[:, -1], every[:, -1])
    assert (last[~handle.trace.computed, :-1] == tracache.caching.trace.UNTRACED).all()


def test_full_compute_bit_for_bit_at_stride_1(model):
    expected = denoise(model)
    handle = tracache.attach(model, TraCacheConfig(stride=1))
    assert torch.equal(denoise(model), expected)
    assert handle.trace.computed.all()


def test_skipped_steps_run_no_block(model):
    handle = tracache.attach(model, TraCacheConfig(stride=3))
    with count_module_calls(model) as calls:
        denoise(model, num_steps=20)
    assert calls == [dict.fromkeys(find_layout(model).parts, 7)] * 4
    assert handle.trace.computed.sum() == 7
    assert (handle.trace.orders == -1).all(axis=1).tolist() == handle.trace.computed.tolist()


def test_last_step_computes_and_knows_the_number_of_steps(model):
    made = scheduler("ddim")
    config = TraCacheConfig(stride=3, last_step=True)
    handle = tracache.attach(model, config, scheduler=made)
    for num_steps, full in [(12, [0, 3, 6, 9, 11]), (6, [0, 3, 5])]:
        denoise(model, num_steps=num_steps, made=made)
        assert np.flatnonzero(handle.trace.computed).tolist() == full
    handle.detach()
    handle = tracache.attach(model, config, num_steps=12)
    denoise(model, num_steps=12)
    assert np.flatnonzero(handle.trace.computed).tolist() == [0, 3, 6, 9, 11]
    with pytest.raises(RuntimeError, match="past the 12 steps"):
        denoise(model, num_steps=20)
    handle.detach()
    with pytest.raises(ValueError, match="num_steps"):
        tracache.attach(model, config)


def test_memory_is_one_history_of_the_last_block(model):
    handle = tracache.attach(model, TraCacheConfig(stride=2, max_order=2))
    denoise(model)
    trajectories = handle._run.method.trajectories
    assert [len(t.differences) for t in trajectories] == [3]
    handle.detach()
    assert [len(t.differences) for t in trajectories] == [0]


# Runs after runs


@pytest.mark.parametrize("watch_scheduler", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        {},
        {"num_steps": 7},
        {"batch": 1},
        {"size": 16},
        {"num_steps": 5, "batch": 3},
        {"stop": 4},
        {"stop": 5},
        {"num_steps": 1},
    ],
    ids=str,
)
def test_a_new_run_starts_afresh(model, other, watch_scheduler):
    """Whatever ran before, and however it ended, the next run is as if it were the first."""
    made = scheduler("ddim") if watch_scheduler else None
    config = TraCacheConfig(stride=3, max_order=3)
    handle = tracache.attach(model, config, scheduler=made)
    first = denoise(model, made=made)
    orders = handle.trace.orders
    try:
        denoise(model, made=made, **other)
    except InterruptedError:
        assert len(handle.trace) == other["stop"]
    assert torch.equal(denoise(model, made=made), first)
    assert np.array_equal(handle.trace.orders, orders)
    handle.reset()
    assert len(handle.trace) == 0
    assert torch.equal(denoise(model, made=made), first)


def test_a_forward_that_fails_leaves_no_half_run(model):
    tracache.attach(model, TraCacheConfig(stride=3, max_order=2))
    first = denoise(model)

    def fail(*_):
        raise InterruptedError

    hook = find_blocks(model)[2].attn1.register_forward_hook(fail)
    with pytest.raises(InterruptedError):
        denoise(model)
    hook.remove()
    assert torch.equal(denoise(model), first)


def test_another_dtype_starts_afresh(model):
    handle = tracache.attach(model, TraCacheConfig(stride=2, max_order=2))
    denoise(model)
    after = denoise(model.to(torch.bfloat16))
    handle.detach()
    tracache.attach(model, TraCacheConfig(stride=2, max_order=2))
    assert torch.equal(after, denoise(model))
    assert after.dtype == torch.bfloat16


def test_a_scheduler_that_starts_part_of_the_way_down():
    """Image to image begins in the middle of the schedule."""
    model, made = pixart(), scheduler("ddim")
    made.set_timesteps(20)
    handle = tracache.attach(
        model, TraCacheConfig(stride=3, last_step=True), scheduler=made, trace="all"
    )
    latents = torch.randn(1, 4, 8, 8)
    text = torch.randn(1, 5, 12)
    with torch.no_grad():
        for t in made.timesteps[8:]:
            model(latents, encoder_hidden_states=text, timestep=t[None])
    assert handle.trace.timesteps.tolist() == made.timesteps[8:].tolist()
    assert np.flatnonzero(handle.trace.computed).tolist() == [0, 3, 6, 9, 11]


# A guest that leaves no trace


def test_detached_is_never_attached(model):
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    forwards = [module.forward for module in model.modules()]
    expected = denoise(model)
    handle = tracache.attach(model, TraCacheConfig(stride=2))
    assert not torch.equal(denoise(model), expected)
    handle.detach()
    assert not handle.attached
    assert torch.equal(denoise(model), expected)
    assert [module.forward for module in model.modules()] == forwards
    for name, module in model.named_modules():
        assert module.__dict__.keys() == before[name].keys()
    handle.detach()
    tracache.attach(model, TraCacheConfig()).detach()


def test_a_forward_of_the_instance_comes_back(model):
    block = find_blocks(model)[0]
    original = block.forward
    block.forward = mine = lambda *args, **kwargs: original(*args, **kwargs)
    tracache.attach(model, TraCacheConfig()).detach()
    assert block.forward is mine


def test_attaching_twice_raises_and_the_first_goes_on(model):
    handle = tracache.attach(model, TraCacheConfig(stride=3))
    first = denoise(model)
    with pytest.raises(RuntimeError, match="already attached"):
        tracache.attach(model, TraCacheConfig(stride=2))
    assert torch.equal(denoise(model), first)
    handle.detach()


def test_a_module_without_recognised_blocks_raises():
    with pytest.raises(TypeError, match=r"no blocks recognised in Linear.*PixArt"):
        tracache.attach(nn.Linear(2, 2), TraCacheConfig())
    empty = pixart()
    empty.transformer_blocks = nn.ModuleList()
    with pytest.raises(ValueError, match="holds no blocks"):
        tracache.attach(empty, TraCacheConfig())


def test_settings_of_an_unknown_kind_raise():
    with pytest.raises(TypeError, match=r"config must be one of TraCacheConfig.*got dict"):
        tracache.attach(pixart(), {"stride": 3})


def test_a_subclass_is_recognised():
    class Mine(type(pixart())):
        pass

    model = pixart()
    model.__class__ = Mine
    handle = tracache.attach(model, TraCacheConfig(stride=3))
    denoise(model)
    assert handle.trace.computed.sum() == 4


class Pipe:
    def __init__(self):
        self.transformer, self.scheduler = pixart(), scheduler("ddim")


def test_accelerate_detaches_whatever_happens():
    pipe = Pipe()
    with tracache.accelerate(pipe, stride=3, max_order=2, last_step=True) as trace:
        denoise(pipe.transformer, made=pipe.scheduler)
    assert np.flatnonzero(trace.computed).tolist() == [0, 3, 6, 9, 11]
    assert trace.orders.shape == (12, 4)
    with (
        pytest.raises(InterruptedError),
        tracache.accelerate(pipe, TraCacheConfig(stride=2)),
    ):
        denoise(pipe.transformer, made=pipe.scheduler, stop=3)
    tracache.attach(pipe.transformer).detach()
    with (
        pytest.raises(ValueError, match="not both"),
        tracache.accelerate(pipe, TraCacheConfig(), stride=2),
    ):
        pass
    with pytest.raises(TypeError, match="no denoiser"), tracache.accelerate(nn.Linear(1, 1)):
        pass


def test_a_pipelines_scheduler_may_change_between_runs():
    pipe = Pipe()
    with tracache.accelerate(pipe, stride=3, last_step=True) as trace:
        denoise(pipe.transformer, made=pipe.scheduler, num_steps=12)
        pipe.scheduler = scheduler("dpm")
        denoise(pipe.transformer, made=pipe.scheduler, num_steps=6)
        assert np.flatnonzero(trace.computed).tolist() == [0, 3, 5]
        assert trace.timesteps.tolist() == pipe.scheduler.timesteps.tolist()


def test_a_trace_travels():
    model = dit()
    handle = tracache.attach(model, TraCacheConfig(stride=3, max_order=3), trace="all")
    denoise(model)
    trace = handle.trace
    for other in (
        pickle.loads(pickle.dumps(trace)),
        Trace.from_dict(trace.to_dict()),
        trace.copy(),
    ):
        assert np.array_equal(other.orders, trace.orders)
        assert np.array_equal(other.timesteps, trace.timesteps)
        assert np.array_equal(other.computed, trace.computed)
    kept = trace.copy()
    denoise(model, num_steps=5)
    assert (len(trace), len(kept)) == (5, 12)


def test_a_trace_keeps_what_the_candidates_were_judged_by():
    """The order that was chosen is the one whose spread is least, block by block."""
    model = pixart()
    handle = tracache.attach(model, TraCacheConfig(stride=4, max_order=3), trace="all")
    denoise(model, num_steps=16)
    trace = handle.trace
    assert trace.spreads.shape == (16, 4, 3)
    judged = ~np.isnan(trace.spreads).all(axis=(1, 2))
    assert judged.sum() >= 9
    assert not judged[trace.computed].any()
    for step in np.flatnonzero(judged):
        best = np.nanargmin(trace.spreads[step], axis=1)
        assert (trace.orders[step] == best).all()
    again = Trace.from_dict(trace.to_dict())
    assert np.allclose(again.spreads, trace.spreads, rtol=1e-6, equal_nan=True)
    handle.detach()


def test_nobody_keeps_spreads_in_a_run_that_is_timed():
    model = pixart()
    handle = tracache.attach(model, TraCacheConfig(stride=4, max_order=3))
    denoise(model, num_steps=16)
    assert handle.trace.spreads.size == 0
    handle.detach()
