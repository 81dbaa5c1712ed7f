"""Watching in groups: how many blocks a run has room for, and that the rows make up one trace."""

import numpy as np
import pytest
import torch

import tracache
from tests.tiny import denoise, dit, pixart, scheduler, stdit3
from tracache import TraCacheConfig, Trace
from tracache.caching.layouts import find_blocks
from tracache.caching.methods import PABConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.trace import UNTRACED
from tracache.compare.all_blocks import (
    MOST_RUNS,
    Features,
    bytes_per_block,
    count_rows,
    free_for_histories,
    make_groups,
    measure_features,
    watch_blocks,
)
from tracache.compare.arms import Setup
from tracache.compare.comparison import compare
from tracache.compare.events import Stage
from tracache.compare.request import make_request
from tracache.compare.sampling import prepare
from tracache.metrics.memory import MemoryPeak
from tracache.models.loading import load_model

MODELS = {"pixart": lambda: pixart(6), "dit": lambda: dit(5), "stdit3": lambda: stdit3(3)}
CONFIGS = {
    "std": TraCacheConfig(stride=2, max_order=3),
    "per-sample": TraCacheConfig(stride=3, max_order=3, spread="per_sample"),
    "per-image": TraCacheConfig(stride=3, max_order=2, spread="per_image", window=2),
    "auto": TraCacheConfig(stride="auto", tolerance=0.5, max_order=3),
    "fixed": TraCacheConfig(stride=3, max_order=2, order="fixed"),
    "reuse": TraCacheConfig(stride=3, rule="reuse"),
    "module": TraCacheConfig(stride=2, max_order=3, space="modules"),
    "pab": PABConfig(),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def watched(model, config, trace):
    made = scheduler("ddim")
    handle = tracache.attach(model, config, scheduler=made, trace=trace)
    try:
        return denoise(model, made=made, num_steps=14), handle.trace
    finally:
        handle.detach()


def same(trace, other):
    assert trace.labels == other.labels
    assert np.array_equal(trace.timesteps, other.timesteps)
    assert np.array_equal(trace.computed, other.computed)
    assert np.array_equal(trace.orders, other.orders)
    assert np.array_equal(trace.sample_orders, other.sample_orders)
    assert np.array_equal(trace.spreads, other.spreads, equal_nan=True)
    assert trace.to_dict() == other.to_dict()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_groups_make_up_the_trace_of_all(model, config):
    image, whole = watched(model, config, "all")
    blocks = len(find_blocks(model))
    groups = make_groups(blocks, room=4 * 100, each=100)
    assert len(groups) == -(-(blocks - 1) // 2) > 1
    runs = [watched(model, config, group) for group in groups]
    assert all(torch.equal(other, image) for other, _ in runs)
    same(Trace.merge([trace for _, trace in runs]), whole)


def test_rows_are_named_or_numbered(model):
    config = CONFIGS["std"]
    _, whole = watched(model, config, "all")
    labels = whole.labels
    skipped = ~whole.computed
    for trace in ([1, -3], (labels[1], labels[-3]), [1, labels[-3], len(labels) - 1]):
        _, some = watched(model, config, trace)
        rows = sorted({1, len(labels) - 3, len(labels) - 1})
        others = [row for row in range(len(labels)) if row not in rows]
        assert np.array_equal(some.orders[:, rows], whole.orders[:, rows])
        assert (some.orders[np.ix_(skipped, others)] == UNTRACED).all()


@pytest.mark.parametrize("trace", ["some", [6], [-7], ["x"], [True], [1.0], 3, None])
def test_rows_that_there_are_not_are_refused(trace):
    with pytest.raises(ValueError, match="trace"):
        tracache.attach(pixart(6), trace=trace)


def test_runs_that_differ_are_not_merged():
    model = pixart(6)
    _, one = watched(model, CONFIGS["std"], [0])
    _, other = watched(model, CONFIGS["per-image"], [1])
    with pytest.raises(ValueError, match="runs to be merged differ"):
        Trace.merge([one, other])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("max_order, num_steps", [(1, 12), (3, 12), (5, 4)])
def test_the_estimate_is_what_a_block_keeps(model, dtype, max_order, num_steps):
    model = model.to(dtype)
    config = TraCacheConfig(stride=2, max_order=max_order)
    handle = tracache.attach(model, config, trace=[0])
    with measure_features([model]) as features:
        denoise(model, num_steps=num_steps)
    kept = handle._run.method.trajectories
    assert len(kept) == 2
    found = sum(difference.nbytes for difference in kept[0].differences)
    assert bytes_per_block(Setup(num_steps, config), features) == found > 0


@pytest.mark.parametrize("name", ["fixed", "reuse", "module", "pab"])
def test_what_needs_no_more_memory_is_watched_at_once(name):
    assert bytes_per_block(Setup(20, CONFIGS[name]), Features(1000)) == 0
    assert make_groups(56, room=0, each=0) == (tuple(range(55)),)


def test_nothing_is_kept_of_blocks_whose_order_follows_from_the_last(model):
    for name in ("fixed", "reuse"):
        handle = tracache.attach(model, CONFIGS[name], trace="all")
        denoise(model, num_steps=2)
        assert len(handle._run.method.trajectories) == 1
        handle.detach()


@pytest.mark.parametrize("room", range(0, 70, 3))
def test_groups_keep_to_the_room_and_the_number_of_runs(room):
    groups = make_groups(56, room=room, each=1)
    rows = [row for group in groups for row in group]
    assert rows == sorted(set(rows))
    assert 55 not in rows
    assert len(groups) <= MOST_RUNS
    assert all(len(group) <= max(room - 2, 0) for group in groups)
    if room >= 2 + 7:
        assert rows == list(range(55))
    elif room > 2:
        assert len(rows) == (room - 2) * MOST_RUNS
        assert max(np.diff(rows)) - min(np.diff(rows)) <= 1
    else:
        assert groups == ((),)


def test_free_memory_leaves_a_reserve_and_what_a_run_takes():
    device = torch.device("cpu")
    assert free_for_histories(device, MemoryPeak("", 10**15, 0)) < 0
    assert free_for_histories(device, MemoryPeak("", 10, 10)) > -(10**9)


@pytest.fixture(scope="module")
def scenes():
    return load_model("scenes-t2i")


@pytest.mark.parametrize("runs", [1, 5, MOST_RUNS + 1])
def test_a_real_model_in_groups(scenes, runs):
    """Its trace is that of watching all at once, and people are told what is watched."""
    request = make_request("scenes-t2i", "a red cube", seed=1, steps=6, stride=2)
    setup = request.set_up("published")
    inputs = prepare(scenes, ["a red cube"], [1], request.guidance_scale, request.scheduler)
    blocks = len(find_blocks(scenes.pipe.transformer))
    whole = watch_blocks(scenes, inputs, setup, make_groups(blocks, 10**9, 1))
    lines: list[str] = []
    if runs > MOST_RUNS:
        groups: tuple = ((), (3,), (6,))
    else:
        groups = make_groups(blocks, 2 - (-(blocks - 1) // runs), 1)
    found = watch_blocks(scenes, inputs, setup, groups, title="TraCache", say=lines.append)
    assert len(lines) == len(groups)
    if runs == 1:
        same(found, whole)
        assert lines == ["Watching every block of TraCache, untimed"]
    elif runs <= MOST_RUNS:
        same(found, whole)
        assert lines[0] == f"Watching blocks 1–2 of {blocks} of TraCache, untimed: run 1 of 5"
        assert lines[-1].startswith(f"Watching blocks 9–{blocks} of {blocks}")
    else:
        rows = [3, 6, blocks - 1]
        assert np.array_equal(found.orders[:, rows], whole.orders[:, rows])
        assert (found.orders[~found.computed, 0] == UNTRACED).all()
        assert f"3 of {blocks} blocks of TraCache, untimed, for want of memory" in lines[0]


def test_what_is_extrapolated_at_the_scheduler_has_a_row_of_its_own(scenes):
    """It is in every run, whoever else is watched; and the runs make up one trace."""
    blocks = len(find_blocks(scenes.pipe.transformer))
    setup = Setup(4, PlannedConfig(compute=2))
    assert count_rows(scenes, setup) == blocks + 1
    assert make_groups(blocks + 1, 0, 0) == (tuple(range(blocks)),)
    inputs = prepare(scenes, ["a red cube"], [1], 2.5, "ddim")
    lines: list[str] = []
    groups = make_groups(blocks + 1, 2 + -(-blocks // 2), 1)
    assert len(groups) == 2
    trace = watch_blocks(scenes, inputs, setup, groups, title="TraCache", say=lines.append)
    assert trace.labels[-1] == "prediction"
    assert trace.computed.sum() == 2
    assert (trace.orders[~trace.computed, -1] >= 0).all()
    assert lines[1] == f"Watching blocks 6–{blocks} of {blocks} of TraCache, untimed: run 2 of 2"
    watch_blocks(scenes, inputs, setup, ((),), title="TraCache", say=lines.append)
    assert lines[2] == "Watching the prediction of TraCache, untimed: no memory for the blocks"


def test_no_room_is_said(scenes):
    inputs = prepare(scenes, ["a red cube"], [1], 2.5, "ddim")
    lines: list[str] = []
    setup = Setup(4, TraCacheConfig(stride=2))
    trace = watch_blocks(scenes, inputs, setup, ((),), title="TraCache", say=lines.append)
    assert lines == ["Watching the last block of TraCache, untimed: no memory for those before it"]
    assert (trace.orders[~trace.computed, :-1] == UNTRACED).all()


def test_a_comparison_watches_every_block_where_there_is_room(scenes):
    asked = {"seed": 1, "steps": 4, "stride": 2, "arms": ["published"]}
    request = make_request("scenes-t2i", "a red cube", **asked)
    events = list(compare(scenes, request))
    said = [event.message for event in events if isinstance(event, Stage)]
    assert said[-1] == "Watching every block of TraCache, as published, untimed"
    trace = events[-1].report.trace
    assert UNTRACED not in trace.orders
    assert Trace.from_dict(trace.to_dict()).to_dict() == trace.to_dict()
