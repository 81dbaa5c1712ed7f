"""Traces as figures and words."""

import re

import numpy as np
import pytest

from tracache.caching.trace import COMPUTED, UNTRACED, Trace
from tracache.compare.colours import COMPUTED as COMPUTED_TONE
from tracache.compare.colours import ORDERS
from tracache.compare.heatmap import describe_trace, order_heatmap, order_name


@pytest.fixture
def trace():
    """Six steps, three blocks; steps 0 and 3 computed."""
    trace = Trace(3)
    for step, timestep in enumerate([999.0, 800.0, 600.0, 400.0, 200.0, 1.0]):
        if step % 3 == 0:
            trace.record(timestep, None)
        else:
            trace.record(timestep, np.array([0, 0, 0] if step < 3 else [2, 0, 1]))
    return trace


def layers(figure):
    """The figure's cells, as {name of the value: set of (block, step)}."""
    found = {}
    for layer in (d for d in figure.data if d.type == "heatmap"):
        name = re.search("<b>(.*)</b>", layer.hovertemplate).group(1)
        z = np.array(layer.z, dtype=float)
        found[name] = {(layer.y[i], layer.x[j]) for i, j in np.argwhere(~np.isnan(z))}
    return found


def test_every_cell_has_its_value(trace):
    cells = layers(order_heatmap(trace))
    assert cells["computed"] == {(b, s) for b in "123" for s in "14"}
    assert cells["order 0 (reuse)"] == {(b, s) for b in "123" for s in "23"} | {
        ("2", "5"),
        ("2", "6"),
    }
    assert cells["order 1"] == {("3", "5"), ("3", "6")}
    assert cells["order 2"] == {("1", "5"), ("1", "6")}
    assert sum(map(len, cells.values())) == trace.orders.size


def test_timesteps_label_the_columns_in_denoising_order(trace):
    axis = order_heatmap(trace).layout.xaxis
    assert list(axis.ticktext) == ["999", "800", "600", "400", "200", "1"]
    told = order_heatmap(trace).data[0].customdata[0]
    assert [timestep for timestep, *_ in told] == trace.timesteps.tolist()
    # Without the zeros that d3 would add: 549, not 549.000.
    assert "customdata[0]:.6~g" in order_heatmap(trace).data[0].hovertemplate


def test_the_legend_names_every_value_once_and_colours_differ(trace):
    legend = [d for d in order_heatmap(trace).data if d.showlegend is not False and d.name]
    *orders, last = [d.name for d in legend]
    assert orders == ["computed", "order 0 (reuse)", "order 1", "order 2"]
    assert last == "makes the picture"
    assert len({d.marker.color for d in legend}) == 5
    assert len(set(ORDERS)) == 6
    # The page's own tones: what is computed is the strip's teal.
    assert [d.marker.color for d in legend[:2]] == [COMPUTED_TONE.light, ORDERS[0].light]


def test_a_trace_in_words(trace):
    assert describe_trace(trace) == (
        "2 of 6 steps computed all 3 blocks. At the 4 skipped steps, the last block, which makes "
        "the image, used order 0 (reuse) at 2 and order 1 at 2 of them. At 2 of them every block "
        "chose the same order."
    )


def predictions(labels, orders):
    """Three steps at the scheduler, the first computed."""
    trace = Trace(labels)
    trace.record(999.0, None)
    for row in orders:
        trace.record(500.0 - row[-1], np.array(row))
    return trace


def test_what_is_extrapolated_at_the_scheduler_says_so():
    alone = predictions(["prediction"], [[0], [1]])
    said = "1 of 3 steps computed. At the 2 skipped ones nothing of the model ran: its guided "
    said += "prediction, which makes the picture, was carried on by order 0 (reuse) at 1 and "
    said += "order 1 at 1 of them."
    assert describe_trace(alone) == said
    assert layers(order_heatmap(alone))["order 1"] == {("prediction", "3")}
    beside = predictions(["0", "1", "prediction"], [[2, 1, 0], [2, 2, 1]])
    assert describe_trace(beside).startswith(said)
    assert "what the method as published would have chosen" in describe_trace(beside)
    # Its row is the one that makes the picture, and stands apart from the blocks'.
    figure = order_heatmap(beside)
    assert layers(figure)["order 1"] == {("2", "2"), ("prediction", "3")}
    assert figure.data[0].customdata[2][0][2] == "prediction"
    assert figure.data[0].customdata[0][0][2] == "block 1"


def test_unwatched_blocks_and_unskipped_runs():
    last = Trace(3, watched=[2])
    last.record(9.0, None)
    last.record(8.0, 0)
    assert "not watched" in layers(order_heatmap(last))
    assert "every block" not in describe_trace(last)
    full = Trace(2)
    full.record(9.0, None)
    assert describe_trace(full).endswith("No step was skipped.")
    assert set(layers(order_heatmap(full))) == {"computed"}
    assert [order_name(v) for v in (COMPUTED, UNTRACED, 0, 3)] == [
        "computed",
        "not watched",
        "order 0 (reuse)",
        "order 3",
    ]
