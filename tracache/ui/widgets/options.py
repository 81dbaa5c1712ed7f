"""Settings that arms have of their own: fields of the chosen arm, all of them one component.

A browser pays for each of Gradio's components, seen or not, and these would be forty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

import gradio as gr

from tracache.caching.declare import Setting
from tracache.compare.arms import ARMS
from tracache.models.spec import ModelSpec

_STATIC = files("tracache.ui.widgets")

#: Arms that only the command line and Python can run: the page opens no files of its host.
NOT_HERE = tuple(arm.id for arm in ARMS.values() if arm.for_host_only)

#: Where an arm's own settings stand: beside its note, or folded away where it plans.
PLACES = {
    "options": tuple(a.id for a in ARMS.values() if not a.plans and a.id not in NOT_HERE),
    "planning": tuple(a.id for a in ARMS.values() if a.plans and a.id not in NOT_HERE),
}


def option_name(arm: str, option: str) -> str:
    """Return the name of an arm's own setting; its field is on the page as ``#set-NAME``."""
    return f"{arm.replace('-', '_')}_{option}"


def add_options(place: str, arm: str, spec: ModelSpec) -> gr.HTML:
    """Add the fields of one of :data:`PLACES`; its value is what :func:`show_options` returns."""
    groups = "".join(_group(owner) for owner in PLACES[place] if ARMS[owner].offered)
    return gr.HTML(
        show_options(place, arm, spec, {}),
        html_template=f'<div class="tco">{groups}</div>',
        js_on_load=(_STATIC / "options.js").read_text("utf-8"),
        apply_default_css=False,
        padding=False,
        elem_classes="tco-place",
    )


def show_options(
    place: str, arm: str, spec: ModelSpec, given: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what makes a place show an arm's fields, holding what is given.

    Parameters
    ----------
    place : str
        One of :data:`PLACES`.
    arm : str
        The arm that is chosen, wherever its fields are.
    spec : ModelSpec
        The model: some settings mean something for videos alone.
    given : mapping
        Arm → setting → value, as requests have it; what is left out is the default.
    """
    mine = {owner: dict(given[owner]) for owner in PLACES[place] if owner in given}
    return {"arm": arm, "video": spec.makes_video, "given": mine}


def show_chosen(place: str, held: Any, arm: str, spec: ModelSpec) -> Any:
    """Return an update that shows an arm's fields and leaves what is set; none where it does."""
    shown = show_options(place, arm, spec, given_options(held))
    return gr.skip() if held == shown else shown


def given_options(held: Any) -> dict[str, dict[str, Any]]:
    """Return what was given, by arm, of what a place holds; nothing of anything else."""
    given = held.get("given") if isinstance(held, dict) else None
    if not isinstance(given, dict):
        return {}
    return {arm: options for arm, options in given.items() if isinstance(options, dict)}


def own_options() -> Iterator[tuple[str, Setting]]:
    """Yield (arm, setting) for every setting that arms on the page have of their own."""
    for arm in ARMS.values():
        if arm.id not in NOT_HERE:
            for option in arm.offered.values():
                yield arm.id, option


def _group(arm: str) -> str:
    options = ARMS[arm].offered.values()
    # Numbers fit side by side; choices with their explanations do not.
    numbers = all(option.kind in ("whole", "number") for option in options)
    fields = "".join(_field(arm, option) for option in options)
    return f'<fieldset data-arm="{arm}"{" data-side" if numbers else ""}>{fields}</fieldset>'


def _field(arm: str, option: Setting) -> str:
    name = option_name(arm, option.name)
    common = f'name="{option.name}" aria-label="{escape(option.label)}"'
    words = f"<span>{escape(option.label)}</span>"
    more = f"<small>{escape(option.help)}</small>" if option.help else ""
    if option.kind == "switch":
        field = f'<input type="checkbox" {common}{" checked" if option.default else ""}>'
        inside = f"<span>{field} {escape(option.label)}</span>{more}"
    elif option.kind == "choice":
        choices = "".join(
            f"<option{' selected' if choice == option.default else ''}>{escape(choice)}</option>"
            for choice in option.choices
        )
        inside = f"{words}{more}<select {common}>{choices}</select>"
    else:
        step = 1 if option.kind == "whole" else 0.01
        bounds = f'min="{option.low:g}" max="{option.high:g}" step="{step}"'
        bounds += f' value="{option.default:g}"'
        inside = f'{words}{more}<input type="number" {common} {bounds}>'
    video = " data-video" if option.video else ""
    return f'<label id="set-{name}"{video}>{inside}</label>'
