"""How the page looks: Gradio's default theme in calmer colours, and a little of our own."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr

from tracache.compare.colours import style_sheet

THEME = gr.themes.Default(
    primary_hue="teal",
    secondary_hue="slate",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    # What computes is dark teal wherever it is drawn.
    slider_color="*primary_700",
    slider_color_dark="*primary_400",
    # Gradio's own choices fall short of a contrast of 4.5 in these.
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*neutral_600",
    block_label_text_color_dark="*neutral_200",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_200",
    input_placeholder_color="*neutral_600",
    input_placeholder_color_dark="*neutral_400",
    link_text_color="*primary_700",
    link_text_color_dark="*primary_300",
    link_text_color_hover="*primary_800",
    link_text_color_hover_dark="*primary_200",
    link_text_color_visited="*primary_700",
    link_text_color_visited_dark="*primary_300",
    link_text_color_active="*primary_800",
    link_text_color_active_dark="*primary_200",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    button_cancel_background_fill="#b91c1c",
    button_cancel_background_fill_dark="#b91c1c",
    button_cancel_background_fill_hover="#991b1b",
    button_cancel_background_fill_hover_dark="#991b1b",
)

_UI = files("tracache.ui")

_SHEETS = (
    "page.css",
    "front.css",
    "widgets/viewer.css",
    "widgets/options.css",
    "widgets/heatmap.css",
    "widgets/forecast.css",
    "widgets/scrubber.css",
    "widgets/league.css",
)

CSS = "\n".join((style_sheet(), *((_UI / name).read_text("utf-8") for name in _SHEETS)))
