"""A closer look at what a method decided: a cell's candidates, a block's path."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr
import numpy as np

from tracache.caching.trace import Trace
from tracache.compare.heatmap import PARTS, PREDICTION, order_name, row_name

_STATIC = files("tracache.ui.widgets")


def add_inspector() -> gr.HTML:
    """Add what shows a cell's candidates; its value is what :func:`show_candidates` returns."""
    return gr.HTML(
        None,
        html_template=(_STATIC / "inspector.html").read_text("utf-8"),
        js_on_load=(_STATIC / "inspector.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="inspector",
    )


def show_candidates(trace: Trace) -> dict[str, Any]:
    """Return a trace as the inspector reads it."""
    orders = trace.orders
    return {
        "blocks": [row_name(label) for label in trace.labels],
        "timesteps": [float(f"{t:.4g}") for t in trace.timesteps],
        "orders": orders.tolist(),
        "words": {str(code): order_name(code) for code in np.unique(orders).tolist()},
        "spreads": trace.to_dict()["spreads"],
    }


def block_choices(trace: Trace) -> list[tuple[str, int]]:
    """Return the blocks that a path can be drawn of, counted from 0, the last one first."""
    blocks = [
        " ".join(word for word in label.split(" ") if word not in PARTS)
        for label in trace.labels
        if label != PREDICTION
    ]
    names = [row_name(block) for block in dict.fromkeys(blocks)]
    return [(f"Block {name}", i) for i, name in reversed(list(enumerate(names)))]
