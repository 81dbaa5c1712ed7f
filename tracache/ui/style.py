"""How the page looks: Gradio's default theme in calmer colours, and a little of our own."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr

THEME = gr.themes.Default(
    primary_hue="teal",
    secondary_hue="slate",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

_STATIC = files("tracache.ui") / "static"

CSS = "\n".join((_STATIC / name).read_text("utf-8") for name in ("page.css", "viewer.css"))
