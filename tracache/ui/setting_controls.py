"""Controls of settings, made from their declarations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tracache.caching.config import TraCacheConfig
from tracache.caching.declare import Setting, settings_of
from tracache.compare.arms import ARMS
from tracache.models.registry import find_model

#: Arms that only the command line and Python can run: the page opens no files of its host.
NOT_HERE = tuple(arm.id for arm in ARMS.values() if arm.for_host_only)

#: Settings of requests that have a control, in the order of the page.
ON_PAGE = {name: s for name, s in settings_of(TraCacheConfig).items() if s.group}

#: Of choices, as many as are shown side by side.
MOST_RADIOS = 3

#: For events that only change what is shown.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def option_name(arm: str, option: str) -> str:
    """Return the endpoint's parameter for an arm's own setting."""
    return f"{arm.replace('-', '_')}_{option}"


def arm_options() -> Iterator[tuple[str, Setting]]:
    """Yield (arm, setting) for every setting that arms on the page have of their own."""
    for arm in ARMS.values():
        if arm.id not in NOT_HERE:
            for option in arm.offered.values():
                yield arm.id, option


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


def add_control(declared: Setting, value: Any, visible: bool = True, field: bool = False) -> Any:
    """Add the control of a setting, as declared; a number is a slider, or a ``field``."""
    common: dict[str, Any] = {
        "value": value,
        "label": declared.label,
        "info": declared.help or None,
        "visible": visible,
    }
    if declared.kind == "switch":
        return gr.Checkbox(**common)
    if declared.kind == "choice":
        kind = gr.Radio if len(declared.choices) <= MOST_RADIOS else gr.Dropdown
        return kind(list(declared.choices), interactive=True, **common)
    step = 1 if declared.kind == "whole" else 0.01
    low, high, step = declared.shown or (declared.low, declared.high, step)
    if field:
        return gr.Number(
            minimum=declared.low, maximum=declared.high, step=step, min_width=90, **common
        )
    return gr.Slider(low, high, step=step, **common)


def add_own_options(
    arm: gr.Dropdown, model: gr.Dropdown, members: tuple[str, ...]
) -> dict[str, Any]:
    """The settings that some arms have of their own, each shown with its arm only."""
    controls: dict[str, Any] = {}
    groups: dict[str, gr.Row | gr.Column] = {}
    own = [(owner, option) for owner, option in arm_options() if owner in members]
    for arm_id in dict.fromkeys(owner for owner, _ in own):
        # Numbers fit side by side; choices with their explanations do not.
        numbers = all(o.kind in ("whole", "number") for o in ARMS[arm_id].offered.values())
        with (gr.Row if numbers else gr.Column)(visible=arm_id == arm.value) as groups[arm_id]:
            for option in ARMS[arm_id].offered.values():
                controls[option_name(arm_id, option.name)] = add_control(
                    option, option.default, visible=not option.video, field=True
                )
    arm.change(
        lambda chosen: {row: gr.update(visible=chosen == name) for name, row in groups.items()},
        arm,
        list(groups.values()),
        **QUIET,
    )
    for owner, option in own:
        if option.video:
            model.change(
                lambda chosen: gr.update(visible=find_model(chosen).makes_video),
                model,
                controls[option_name(owner, option.name)],
                **QUIET,
            )
    return controls
