"""Watching features, and replaying predictions along what was seen."""

import pytest
import torch

from tests.tiny import dit
from tracache.caching.attach import attach
from tracache.caching.config import TraCacheConfig
from tracache.experiments.features import (
    change_rates,
    interval_errors,
    principal_plane,
    project,
    replay,
    residuals,
    row_names,
    watch_features,
)

TIMES = [950.0, 900.0, 820.0, 700.0, 610.0, 500.0, 380.0, 300.0, 170.0, 20.0]


def cubic(t):
    return torch.tensor([[1.0, -2.0], [0.5, 3.0]]) * (t / 1000) ** 3 + t / 500


def run(transformer, times=TIMES):
    # Made once a run, as pipelines do.
    labels = torch.tensor([1, 2])
    for t in times:
        with torch.no_grad():
            transformer(
                torch.full((2, 4, 8, 8), t / 1000),
                timestep=torch.full((2,), t),
                class_labels=labels,
            )


def test_a_polynomial_is_replayed_exactly_once_the_history_suffices():
    seen = [cubic(t) for t in TIMES]
    config = TraCacheConfig(stride=2, max_order=3, order="fixed")
    path = replay(TIMES, seen, config)
    assert path.orders == [-1, 0, -1, 1, -1, 2, -1, 3, -1, 3]
    assert torch.allclose(path.features[9], seen[9], atol=1e-5)
    assert not torch.allclose(path.features[1], seen[1], atol=1e-3)
    reused = replay(TIMES, seen, TraCacheConfig(stride=2, rule="reuse"))
    assert torch.equal(reused.features[9], seen[8])


def test_a_replay_is_what_the_cache_does():
    """Of the first block, whose input no prediction touches: orders of a real cached run."""
    transformer = dit(num_layers=3)
    with watch_features(transformer, row_names(transformer, [0], parts=False)) as watched:
        run(transformer)
    config = TraCacheConfig(stride=3, max_order=3)
    handle = attach(transformer, config, trace="all")
    run(transformer)
    handle.detach()
    assert watched.timesteps == TIMES
    assert replay(TIMES, watched.features["0"], config).orders == list(handle.trace.orders[:, 0])


def test_rows_are_blocks_and_their_parts():
    transformer = dit(num_layers=3)
    assert row_names(transformer, [0, -1], parts=True) == [
        *("0", "0 attn1", "0 ff"),
        *("2", "2 attn1", "2 ff"),
    ]
    with pytest.raises(ValueError, match="there are 3 of them, from 1 to 3"):
        row_names(transformer, [3], parts=False)


def test_watching_leaves_nothing_behind():
    transformer = dit(num_layers=3)
    with watch_features(transformer, ["1", "1 ff"]) as watched:
        run(transformer, TIMES[:4])
    run(transformer, TIMES[:2])
    assert len(watched.timesteps) == 4
    assert [len(kept) for kept in watched.features.values()] == [4, 4]
    # A block's output is its MLP's, added to what came before.
    assert watched.features["1"][0].shape == watched.features["1 ff"][0].shape


def test_interval_errors_grow_with_the_interval():
    seen = [torch.full((2, 3), float(i)) for i in range(6)]
    assert interval_errors(seen, 1) == [1.0] * 5
    assert interval_errors(seen, 3) == [9.0] * 3


def test_residuals_know_errors_and_regions():
    seen = [cubic(t) for t in TIMES]
    found = residuals(TIMES, seen, stride=2, max_order=3)
    assert {r.step for r in found} == {3, 5, 7, 9}
    last = {r.order: r for r in found if r.step == 9}
    assert last[3].error == pytest.approx(0, abs=1e-5)
    assert last[2].error == pytest.approx(last[3].error_below)
    assert last[1].error_below > last[2].error > last[3].error
    # A cubic changes fastest where t is large.
    rates = change_rates(TIMES, seen)
    assert rates[0] > rates[-1]
    assert {r.step for r in found if r.rapid} == {3}


def test_the_principal_plane_holds_what_lies_in_a_plane():
    torch.manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(40, 2))
    places = torch.randn(12, 2) * torch.tensor([5.0, 1.0])
    points = [(basis @ place).reshape(8, 5) + 3 for place in places]
    mean, axes, shares = principal_plane(points)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares[0] > 0.8
    found = project(points, mean, axes)
    assert torch.allclose(torch.cdist(found, found), torch.cdist(places, places), atol=1e-3)


def test_an_adaptive_stride_is_not_replayed():
    with pytest.raises(ValueError, match="cannot be replayed"):
        replay(TIMES, [cubic(t) for t in TIMES], TraCacheConfig(stride="auto"))
