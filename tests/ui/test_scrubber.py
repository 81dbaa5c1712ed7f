"""What the scrubber and the heatmap are told of a report."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from tracache.caching.trace import PARTIAL, Trace
from tracache.compare.course import Course
from tracache.compare.figures import work_and_fidelity
from tracache.ui.widgets.heatmap import show_orders
from tracache.ui.widgets.scrubber import show_courses


def course(arm, steps, distances, count):
    sheet = Image.new("RGB", (96 * min(count, 10), 48 * (1 + (count - 1) // 10)))
    timesteps = tuple(1000.0 - i for i in range(count))
    return Course(arm, arm.title(), timesteps, (True,) * count, steps, distances, sheet)


def test_courses_are_told_with_full_compute_first():
    full = course("full", tuple(range(12)), (0.0,) * 12, 12)
    fewer = course("fewer-steps", (0,) * 6 + (1,) * 6, (0.0,) * 4 + (0.5,) + (0.1,) * 7, 2)
    arms = [SimpleNamespace(arm=arm) for arm in ("full", "reuse", "fewer-steps")]
    report = SimpleNamespace(courses=(fewer, full), arms=arms)
    shown = show_courses(report, {"full": "a.webp", "fewer-steps": "b.webp"})
    assert shown["start"] == 4
    assert "step 5 of 12, by 50.0%" in shown["said"]
    first, second = shown["arms"]
    assert (first["id"], first["columns"], first["rows"], first["ratio"]) == ("full", 10, 2, 2.0)
    assert (second["sheet"], second["columns"], second["rows"]) == ("b.webp", 2, 1)
    # The strips are those of all arms, also of one that has no course.
    assert shown["strips"] == ["full", "reuse", "fewer-steps"]


def test_an_arm_has_one_colour_in_the_curve_and_in_the_sweeps_plot():
    courses = [course(arm, (0,), (0.0,), 1) for arm in ("full", "fewer-steps", "tracache")]
    report = SimpleNamespace(courses=tuple(courses), arms=[])
    shown = show_courses(report, {c.arm: "a.webp" for c in courses})
    curve = {arm["title"].lower(): arm["colour"] for arm in shown["arms"][1:]}
    points = [("", 2.0, 40.0, arm) for arm in ("reuse", "taylorseer", "tracache", "fewer-steps")]
    plot = {line.name: line.marker.color for line in work_and_fidelity(points).data}
    assert plot["TraCache"] == curve["tracache"]
    assert plot["Fewer steps"] == curve["fewer-steps"]


def test_nothing_is_shown_of_nothing():
    assert show_courses(SimpleNamespace(courses=(), arms=[]), {}) is None
    alone = course("full", (0,), (0.0,), 1)
    assert show_courses(SimpleNamespace(courses=(alone,), arms=[]), {"full": "a"}) is None


def test_a_heatmap_is_told_in_the_palettes_words():
    trace = Trace(2)
    trace.record(999.0, None)
    trace.record(500.5, np.array([0, 2]))
    trace.record(1.0, np.array([PARTIAL, 2]))
    shown = show_orders(trace)
    assert shown["orders"] == trace.orders.tolist()
    assert shown["timesteps"] == ["999", "500.5", "1"]
    assert {kind: name for _, kind, name in shown["values"]} == {
        "computed": "computed",
        "partial": "computed in part",
        "order-0": "order 0 (reuse)",
        "order-2": "order 2",
    }
    assert shown["framed"]
    parts = Trace(["0 attn1", "0 ff"])
    parts.record(1.0, None)
    assert not show_orders(parts)["framed"]
