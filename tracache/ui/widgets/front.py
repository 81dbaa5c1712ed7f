"""What the front page does by itself, in the browser."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr

_STATIC = files("tracache.ui.widgets")


def add_front() -> gr.HTML:
    """Add what moves the focus between Generate and Stop, runs live, marks faults and opens links.

    Of a run it knows what the status says, in ``data-running`` and ``data-fault``. Its value, when
    it submits one, is a mapping: ``search``, the page's address from the question mark on, and
    ``token``, which the browser keeps of a job that it began; empty for everybody else's.
    """
    scripts = ((_STATIC / name).read_text("utf-8") for name in ("front.js", "address.js"))
    return gr.HTML(
        "",
        html_template="<span hidden></span>",
        js_on_load="\n".join(scripts),
        elem_id="front",
        container=False,
    )
