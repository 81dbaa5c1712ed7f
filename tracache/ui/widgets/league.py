"""The league's table: sorts in the browser, and shows the pictures of the row that is pressed."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr

_STATIC = files("tracache.ui.widgets")


def add_league_table() -> gr.HTML:
    """Add the table; its value is what :func:`tracache.ui.views.league.league_table` returns."""
    return gr.HTML(
        "",
        js_on_load=(_STATIC / "league.js").read_text("utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="league",
    )
