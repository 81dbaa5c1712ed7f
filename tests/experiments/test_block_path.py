"""The path of a block: what is drawn is where predictions are, and how far off."""

import numpy as np
import pytest
import torch

from tracache.caching.config import TraCacheConfig
from tracache.compare.figures import describe_path
from tracache.experiments.block_path import REUSE, TITLE, block_path, foretell
from tracache.experiments.features import Watched

TIMES = [float(t) for t in range(12, 0, -1)]
BASE = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
#: A straight line, which a prediction of order 1 continues exactly.
LINE = [BASE[0] * t + BASE[1] for t in TIMES]
CONFIG = TraCacheConfig(
    stride=3, max_order=1, local_extrapolation=True, last_step=False, space="blocks"
)


def test_reuse_stays_where_it_was_and_a_line_is_followed():
    path, ways, _ = foretell(TIMES, LINE, CONFIG)
    reuse, line = ways[REUSE], ways[TITLE]
    computed = [i for i, order in enumerate(line.orders) if order < 0]
    assert all(reuse.errors[i] == line.errors[i] == 0 for i in computed)
    for step in range(len(TIMES)):
        last = max(i for i in computed if i <= step)
        assert torch.allclose(reuse.places[step], path[last], atol=1e-4)
        wanted = (LINE[last] - LINE[step]).norm() / LINE[step].norm()
        assert reuse.errors[step] == pytest.approx(wanted.item(), abs=1e-6)
    # From its second computed step on.
    assert max(line.errors[computed[1] :]) < 1e-5
    assert line.mean_error < reuse.mean_error


def test_predictions_are_joined_to_the_truth_and_not_to_one_another():
    figure, away = block_path(Watched(TIMES, {"2": LINE}), CONFIG)
    assert list(away) == [REUSE, TITLE]
    path, ways, _ = foretell(TIMES, LINE, CONFIG)
    above = [trace for trace in figure.data if trace.yaxis == "y"]
    assert {trace.name for trace in above} == {"full compute", REUSE, TITLE, "computed"}
    assert list(above[1].y) == list(ways[REUSE].errors)
    below = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert np.allclose(below[0].x, path[:, 0])
    points = [trace for trace in below if trace.mode == "markers" and trace.name in away]
    predicted = [i for i, order in enumerate(ways[TITLE].orders) if order >= 0]
    assert [len(trace.x) for trace in points] == [len(predicted)] * 2
    threads = below[1]
    assert list(threads.x[:3]) == [
        path[predicted[0], 0].item(),
        ways[REUSE].places[predicted[0], 0].item(),
        None,
    ]


def test_what_is_drawn_is_said():
    said = describe_path({REUSE: 0.25, TITLE: 0.031})
    assert said.endswith("reuse is 25.0% off and TraCache, as published is 3.1% off on average.")
    assert "reuse stays where it was last computed" in said
    assert describe_path({}) == "Nothing of this block was predicted."
    every = TraCacheConfig(stride=1, space="blocks")
    assert block_path(Watched(TIMES, {"2": LINE}), every)[1] == {}
