"""A curve to play with: which of its steps are computed, and how the others are foretold."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from typing import Any

import gradio as gr

_STATIC = files("tracache.ui.widgets")

#: Steps of every curve, and how many compute at first.
STEPS, COMPUTED = 40, 8

#: Ways to fill in a skipped step: id, title, highest order; the last looks back as well.
WAYS = (
    ("order-0", "Reuse (order 0)", 0),
    ("order-1", "Line (order 1)", 1),
    ("order-2", "Order 2", 2),
    ("order-3", "Order 3", 3),
    ("back", "TraCache, looking back", 1),
)


def add_forecast() -> gr.HTML:
    """Add the curve; what is done to it stays in the browser."""
    return gr.HTML(
        {"curves": curves(), "ways": [list(way) for way in WAYS], "computed": COMPUTED},
        html_template=(_STATIC / "forecast.html").read_text("utf-8"),
        js_on_load=(_STATIC / "forecast.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="forecast",
    )


def curves() -> list[dict[str, Any]]:
    """Return the curves: two that are made up, and those recorded by ``experiments.curves``."""
    times = [step / (STEPS - 1) for step in range(STEPS)]
    smooth = [math.sin(2.4 * t + 0.3) - 0.5 * t for t in times]
    bend = [0.4 * t - 1.1 * math.tanh(14 * (t - 0.42)) for t in times]
    made = [
        {"title": "Smooth", "about": "A curve that turns slowly.", "values": smooth},
        {
            "title": "With a bend",
            "about": "A curve that turns at once, and is calm elsewhere.",
            "values": bend,
        },
    ]
    return made + json.loads((_STATIC / "forecast.json").read_text("utf-8"))
