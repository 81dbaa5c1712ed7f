"""What the front page does by itself, in the browser."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr

_STATIC = files("tracache.ui.widgets")


def add_front() -> gr.HTML:
    """Add the script that moves the focus between Generate and Stop, runs live, and marks faults.

    It is told of nothing: what the status says, in ``data-running`` and ``data-fault``, is all that
    it knows.
    """
    return gr.HTML(
        "",
        html_template="<span hidden></span>",
        js_on_load=(_STATIC / "front.js").read_text("utf-8"),
        elem_id="front",
        container=False,
    )
