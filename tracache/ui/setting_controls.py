"""Controls of settings, made from their declarations."""

from __future__ import annotations

from typing import Any

import gradio as gr

from tracache.caching.config import TraCacheConfig
from tracache.caching.declare import Setting, settings_of

#: Settings of requests that have a control, in the order of the page.
ON_PAGE = {name: s for name, s in settings_of(TraCacheConfig).items() if s.group}

#: For events that only change what is shown.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def add_group(group: str, cache: TraCacheConfig, visible: bool = True) -> dict[str, Any]:
    """Add the controls of a group, each with what depends on it next to it."""
    members = [s for s in ON_PAGE.values() if s.group == group]
    controls: dict[str, Any] = {}
    for declared in members:
        if declared.only is not None:
            continue
        controls[declared.name] = add_control(declared, getattr(cache, declared.name), visible)
        for other in members:
            if other.only is not None and other.only[0] == declared.name:
                shown = visible and getattr(cache, declared.name) == other.only[1]
                controls[other.name] = add_control(other, getattr(cache, other.name), shown)
    return controls


def add_control(declared: Setting, value: Any, visible: bool = True) -> Any:
    """Add the control of a setting, as declared; a number is a slider."""
    common: dict[str, Any] = {
        "value": value,
        "label": declared.label,
        "info": declared.help or None,
        "visible": visible,
    }
    if declared.kind == "switch":
        return gr.Checkbox(**common)
    if declared.kind == "choice":
        return gr.Dropdown(list(declared.choices), interactive=True, **common)
    step = 1 if declared.kind == "whole" else 0.01
    low, high, step = declared.shown or (declared.low, declared.high, step)
    return gr.Slider(low, high, step=step, **common)
