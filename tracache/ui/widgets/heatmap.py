"""The heatmap: what each block did at each step, in the colours of the page."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from tracache.caching.trace import COMPUTED, PARTIAL, UNTRACED, Trace
from tracache.compare.heatmap import has_parts, order_name, row_name

_STATIC = files("tracache.ui.widgets")

_KINDS = {COMPUTED: "computed", PARTIAL: "partial", UNTRACED: "unseen"}


def add_heatmap() -> gr.HTML:
    """Add a heatmap; its value is what :func:`show_orders` returns."""
    return gr.HTML(
        None,
        html_template=(_STATIC / "heatmap.html").read_text("utf-8"),
        js_on_load=(_STATIC / "heatmap.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="heatmap",
    )


def show_orders(trace: Trace) -> dict[str, Any]:
    """Return a trace as the heatmap reads it; rows from the first block up."""
    orders = trace.orders
    codes = sorted(set(orders.ravel().tolist()))
    return {
        "blocks": [row_name(label) for label in trace.labels],
        "timesteps": [f"{t:.6g}" for t in trace.timesteps],
        "orders": orders.tolist(),
        "values": [[code, kind_of(code), order_name(code)] for code in codes],
        # The last row makes the picture, where whole blocks are rows.
        "framed": not has_parts(trace),
    }


def kind_of(code: int) -> str:
    """Return the end of the name of a value's colour, as in ``--tc-order-1``."""
    return _KINDS.get(code, f"order-{code}")
