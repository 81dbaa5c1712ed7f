"""How many steps compute, which arm makes use of that, and what else can be set of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from tracache.caching.config import BUDGET, PREDICTION, SCHEDULE, TraCacheConfig
from tracache.caching.declare import Setting, settings_of
from tracache.caching.methods.planned import SHARE, PlannedConfig
from tracache.compare.arm import PUBLISHED, REFERENCE, TRACACHE
from tracache.compare.arms import ARMS
from tracache.models.presets import CUSTOM
from tracache.models.registry import find_model
from tracache.models.spec import ModelSpec
from tracache.ui.models import preset_choices, set_computed
from tracache.ui.views.notes import arm_note, preset_note

#: Arms at once, full compute and the accelerated one among them.
MAX_ARMS = 4

#: Arms that only the command line and Python can run: the page opens no files of its host.
NOT_HERE = tuple(arm.id for arm in ARMS.values() if arm.for_host_only)

#: What the accelerated arm is compared with, beside full compute, until somebody chooses.
RIVALS = ("fewer-steps",)

#: Settings of requests that have a control, in the order of the page.
ON_PAGE = {name: s for name, s in settings_of(TraCacheConfig).items() if s.group}

#: Of choices, as many as are shown side by side.
MOST_RADIOS = 3

#: For events that only change what is shown.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

#: How it is said which steps compute: by their number, by a stride, or by what the features do.
BY_NUMBER, BY_STRIDE, ADAPTIVE = "compute", "stride", "auto"
WAYS = (
    ("So many steps", BY_NUMBER),
    ("At a stride", BY_STRIDE),
    ("Adaptive: where the predicted error grows", ADAPTIVE),
)

#: Three numbers of computed steps: name, and share of the run's steps.
PACES = (("Faithful", 0.5), ("Balanced", SHARE), ("Fast", 0.25))


@dataclass(frozen=True)
class ArmControls:
    """What :func:`add_arms` lays out.

    Attributes
    ----------
    inputs : dict
        Controls by the name of their setting.
    paces : tuple of gr.Button
        As in ``PACES``.
    plan : gr.HTML
        Shows which steps will compute.
    """

    inputs: dict[str, Any]
    paces: tuple[gr.Button, ...]
    plan: gr.HTML


def option_name(arm: str, option: str) -> str:
    """Return the endpoint's parameter for an arm's own setting."""
    return f"{arm.replace('-', '_')}_{option}"


def arm_options() -> Iterator[tuple[str, Setting]]:
    """Yield (arm, setting) for every setting that arms on the page have of their own."""
    for arm in ARMS.values():
        if arm.id not in NOT_HERE:
            for option in arm.options.values():
                yield arm.id, option


def add_arms(spec: ModelSpec, model: gr.Dropdown) -> ArmControls:
    """Lay out the accelerated arm, with the defaults of a model."""
    cache = replace(spec.cache, compute=PlannedConfig().budget(spec.steps))
    with gr.Group():
        with gr.Row(elem_classes="tc-paces") as pace_row:
            paces = tuple(gr.Button(name, size="sm", min_width=70) for name, _ in PACES)
        budget = _group(BUDGET, cache)
        budget["compute"].maximum = spec.steps
        plan = gr.HTML("", padding=True, elem_id="plan")
        arm = gr.Dropdown(
            [(m.title, m.id) for m in ARMS.values() if m.id != REFERENCE and not m.matches],
            value=TRACACHE,
            label="Accelerated by",
            interactive=True,
        )
        note = gr.HTML(arm_note(TRACACHE, spec, NOT_HERE), padding=True, elem_id="arm-note")
        own = _own_options(arm, model, tuple(a.id for a in ARMS.values() if not a.plans))
        preset = gr.Dropdown(
            preset_choices(spec), value=CUSTOM, label="Preset", interactive=True, visible=False
        )
        preset_text = gr.HTML("", padding=True, visible=False, elem_id="preset-note")
        when = gr.Radio(
            list(WAYS), value=BY_NUMBER, label="Which compute", visible=False, interactive=True
        )
        schedule = _group(SCHEDULE, cache, visible=False)
        also = gr.Dropdown(
            [
                (m.title, m.id)
                for m in sorted(ARMS.values(), key=lambda m: m.id != "fewer-steps")
                if m.id != REFERENCE and m.id not in NOT_HERE
            ],
            value=list(RIVALS),
            # A third is refused with a message; with max_choices it would be dropped in silence.
            multiselect=True,
            label="Compare with as well",
            info="Two at most. Fewer steps at equal cost is what a cache has to beat.",
            interactive=True,
        )
    refined, refinements = _refinements(cache)
    with gr.Accordion("How it plans, predicts and looks back", open=False) as planning:
        own |= _own_options(arm, model, tuple(a.id for a in ARMS.values() if a.plans))
    shown = {"preset": preset, "when": when, **budget, **schedule}
    shown |= {"plan": plan, "paces": pace_row, "refined": refined, "planning": planning}
    gr.on(
        [arm.change, also.change, when.change, preset.change, model.change],
        lambda chosen, also, when, named, model_id: [
            arm_note(chosen, find_model(model_id), NOT_HERE),
            gr.update(value=preset_note(named, find_model(model_id)), visible=named != CUSTOM),
            *(gr.update(visible=v) for v in _shown(chosen, also, when, named, model_id).values()),
        ],
        [arm, also, when, preset, model],
        [note, preset_text, *(shown[name] for name in _shown(TRACACHE, [], "", CUSTOM, spec.id))],
        **QUIET,
    )
    # Whoever chooses an arm gets it as it is meant to be: the published method with its stride.
    arm.input(
        lambda chosen: (BY_STRIDE if chosen == PUBLISHED else BY_NUMBER, CUSTOM),
        arm,
        [when, preset],
        **QUIET,
    )
    inputs = {**budget, "when": when, **schedule, "arm": arm, "also": also, "preset": preset}
    return ArmControls({**inputs, **refinements, **own}, paces, plan)


def _shown(arm: str, also: Any, when: str, preset: str, model: str) -> dict[str, bool]:
    """Whether each control means something: those that do not are out of sight."""
    first = ARMS[arm]
    arms = [first, *(ARMS[name] for name in also or [] if name in ARMS)]
    scheduled = first.scheduled or any(a.forecasts or a.plans for a in arms)
    by_hand = preset == CUSTOM
    forecasts = any(a.forecasts for a in arms)
    asked = by_hand and scheduled
    schedule = {
        name: asked and (forecasts if name == "max_order" else when != BY_NUMBER)
        for name in ON_PAGE
        if ON_PAGE[name].group == SCHEDULE
    }
    for name in schedule:
        if ON_PAGE[name].only == (BY_STRIDE, ADAPTIVE):
            schedule[name] = asked and when == ADAPTIVE
    return {
        "preset": bool(find_model(model).presets) and (first.forecasts or not by_hand),
        "when": asked and (first.forecasts or when != BY_NUMBER),
        **schedule,
        "compute": asked and when == BY_NUMBER,
        "stride": asked and when == BY_STRIDE,
        "plan": scheduled,
        "paces": asked,
        "refined": first.forecasts,
        "planning": first.plans,
    }


def follow_budget(steps: int) -> int:
    """Return how many steps compute where the number asked for is of more steps than there are."""
    return PlannedConfig().budget(steps)


def follow_steps(arms: ArmControls, steps: gr.Slider, model: gr.Dropdown) -> None:
    """Let the number of computed steps, and the paces, go by the number of steps.

    Parameters
    ----------
    arms : ArmControls
        From :func:`add_arms`.
    steps, model : gradio components
        Steps of full compute, and the model.
    """
    compute, when, preset = (arms.inputs[name] for name in ("compute", "when", "preset"))

    def bound(most: Any, chosen: Any, model_id: str) -> Any:
        if not isinstance(most, int | float) or not isinstance(chosen, int | float):
            return gr.skip()
        # So many computed that none is skipped would be nothing to look at.
        wanted = chosen if chosen < most else follow_budget(int(most))
        changes = set_computed(find_model(model_id), int(most), int(chosen))
        return {**changes, "value": wanted}

    # What a visitor does: a model, or a link, brings its own number along.
    steps.input(bound, [steps, compute, model], compute, **QUIET)
    for button, (_, share) in zip(arms.paces, PACES, strict=True):
        button.click(
            lambda most, share=share: (max(1, round(share * most)), BY_NUMBER, CUSTOM),
            steps,
            [compute, when, preset],
            **QUIET,
        )


def _refinements(cache: TraCacheConfig) -> tuple[gr.Accordion, dict[str, Any]]:
    with gr.Accordion("How it predicts and chooses", open=False, visible=False) as accordion:
        controls = _group(PREDICTION, cache)
    for name, control in controls.items():
        only = ON_PAGE[name].only
        if only is not None and only[0] in controls:
            controls[only[0]].change(
                lambda chosen, wanted=only[1]: gr.update(visible=chosen == wanted),
                controls[only[0]],
                control,
                **QUIET,
            )
    return accordion, controls


def _group(group: str, cache: TraCacheConfig, visible: bool = True) -> dict[str, Any]:
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


def _own_options(arm: gr.Dropdown, model: gr.Dropdown, members: tuple[str, ...]) -> dict[str, Any]:
    """The settings that some arms have of their own, each shown with its arm only."""
    controls: dict[str, Any] = {}
    groups: dict[str, gr.Row | gr.Column] = {}
    own = [(owner, option) for owner, option in arm_options() if owner in members]
    for arm_id in dict.fromkeys(owner for owner, _ in own):
        # Numbers fit side by side; choices with their explanations do not.
        numbers = all(o.kind in ("whole", "number") for o in ARMS[arm_id].options.values())
        with (gr.Row if numbers else gr.Column)(visible=arm_id == arm.value) as groups[arm_id]:
            for option in ARMS[arm_id].options.values():
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
