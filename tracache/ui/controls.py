"""The left column: every control of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tracache.caching.config import PREDICTION, SCHEDULE, TraCacheConfig
from tracache.caching.declare import Setting, settings_of
from tracache.compare.arms import ARMS, REFERENCE
from tracache.compare.request import MAX_SEED
from tracache.models.presets import CUSTOM
from tracache.models.registry import MODELS, find_model, sizes_shown
from tracache.models.spec import ModelSpec
from tracache.serving.backend import Backend
from tracache.settings import Settings
from tracache.ui.models import (
    Subject,
    add_help,
    add_model,
    follow_model,
    preset_choices,
)
from tracache.ui.views import arm_note, preset_note

#: Arms at once, full compute and the accelerated one among them.
MAX_ARMS = 4

#: Arms that only the command line and Python can run: the page opens no files of its host.
NOT_HERE = tuple(arm.id for arm in ARMS.values() if arm.for_host_only)

#: TraCache's settings that have a control, in the order of the page.
ON_PAGE = {name: s for name, s in settings_of(TraCacheConfig).items() if s.group}

#: Of choices, as many as are shown side by side.
MOST_RADIOS = 3

#: For events that only change what is shown.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

ADAPTIVE = "Adaptive: compute where the predicted error grows"

#: Three ways to go about it: name, stride, and the preset where a model has presets of its own.
PACES = (("Faithful", 2, "20-10"), ("Balanced", 3, "20-7"), ("Fast", 4, "20-5"))


@dataclass(frozen=True)
class Controls:
    """The controls of a comparison by the name of their setting, and the buttons."""

    inputs: dict[str, Any]
    generate: gr.Button
    stop: gr.Button
    stop_text: gr.HTML
    cost: gr.Button
    cost_text: gr.HTML
    subject: Subject


def option_name(arm: str, option: str) -> str:
    """Return the endpoint's parameter for an arm's own setting."""
    return f"{arm.replace('-', '_')}_{option}"


def arm_options() -> Iterator[tuple[str, Setting]]:
    """Yield (arm, setting) for every setting that arms on the page have of their own."""
    for arm in ARMS.values():
        if arm.id not in NOT_HERE:
            for option in arm.options.values():
                yield arm.id, option


def add_controls(spec: ModelSpec, settings: Settings, backend: Backend) -> Controls:
    """Lay out the left column, with the defaults of a model."""
    subject = add_model(spec, settings, backend)
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", scale=3, min_width=120)
        stop = gr.Button("Stop", variant="stop", scale=1, min_width=80)
    stop_text = gr.HTML("", visible=False, padding=False, elem_id="stop-note")
    cost = gr.Button("What will it cost?", size="sm", elem_id="ask-cost")
    cost_text = gr.HTML("", visible=False, padding=False, elem_id="cost")
    subject.outputs["generate"] = generate
    add_help(subject, spec, settings)
    inputs: dict[str, Any] = {
        "model": subject.model,
        "prompt": subject.prompt,
        "class_label": subject.class_label,
    }
    inputs |= _arms(spec, subject.model)
    inputs |= _sampling(spec, subject.model)
    follow_model(subject, inputs, settings, backend)
    return Controls(inputs, generate, stop, stop_text, cost, cost_text, subject)


def _arms(spec: ModelSpec, model: gr.Dropdown) -> dict[str, Any]:
    """The accelerated arm, how it skips, and what else can be set."""
    with gr.Group():
        arm = gr.Dropdown(
            [(m.title, m.id) for m in ARMS.values() if m.id != REFERENCE and not m.matches],
            value="tracache",
            label="Accelerated by",
            interactive=True,
        )
        note = gr.HTML(arm_note("tracache", spec, NOT_HERE), padding=True, elem_id="arm-note")
        own = _own_options(arm, model)
        with gr.Column() as scheduled:
            paces = _paces()
            preset = gr.Dropdown(
                preset_choices(spec),
                value=CUSTOM,
                label="Preset",
                interactive=True,
                visible=bool(spec.presets),
            )
            preset_text = gr.HTML("", padding=True, visible=False, elem_id="preset-note")
            with gr.Column() as by_hand:
                schedule = _schedule(spec.cache)
        also = gr.Dropdown(
            [
                (m.title, m.id)
                for m in sorted(ARMS.values(), key=lambda m: m.id != "fewer-steps")
                if m.id != REFERENCE and m.id not in NOT_HERE
            ],
            value=[],
            multiselect=True,
            max_choices=MAX_ARMS - 2,
            label="Compare with as well",
            info="Fewer steps at equal cost is what a cache has to beat.",
            interactive=True,
        )
    refined, tracache = _refinements(spec.cache)
    gr.on(
        [arm.change, model.change],
        lambda chosen, named, model_id: (
            arm_note(chosen, find_model(model_id), NOT_HERE),
            gr.update(visible=ARMS[chosen].scheduled),
            gr.update(visible=named == CUSTOM),
            gr.update(visible=ARMS[chosen].forecasts),
        ),
        [arm, preset, model],
        [note, scheduled, by_hand, refined],
        **QUIET,
    )
    preset.change(
        lambda chosen, model_id: (
            gr.update(value=preset_note(chosen, find_model(model_id)), visible=chosen != CUSTOM),
            gr.update(visible=chosen == CUSTOM),
        ),
        [preset, model],
        [preset_text, by_hand],
        **QUIET,
    )
    for button, (_, stride, tuned) in zip(paces, PACES, strict=True):
        button.click(
            lambda model_id, stride=stride, tuned=tuned: (
                stride,
                False,
                tuned if tuned in find_model(model_id).presets else CUSTOM,
            ),
            model,
            [schedule["stride"], schedule["adaptive"], preset],
            **QUIET,
        )
    return {**schedule, "arm": arm, "also": also, "preset": preset, **tracache, **own}


def _paces() -> list[gr.Button]:
    with gr.Row(elem_classes="tc-paces"):
        return [gr.Button(name, size="sm", min_width=70) for name, _, _ in PACES]


def _schedule(cache: TraCacheConfig) -> dict[str, Any]:
    """When it computes; a box beside the stride lets the features decide."""
    adaptive: dict[str, Any] = {}

    def beside(declared: Setting) -> None:
        if "auto" in declared.choices:
            adaptive["adaptive"] = gr.Checkbox(False, label=ADAPTIVE)

    controls = _group(SCHEDULE, cache, beside)
    adaptive["adaptive"].change(
        lambda chosen: gr.update(visible=not chosen),
        adaptive["adaptive"],
        controls["stride"],
        **QUIET,
    )
    for name, control in controls.items():
        if ON_PAGE[name].only == ("stride", "auto"):
            adaptive["adaptive"].change(
                lambda chosen: gr.update(visible=chosen), adaptive["adaptive"], control, **QUIET
            )
    return {**controls, **adaptive}


def _refinements(cache: TraCacheConfig) -> tuple[gr.Accordion, dict[str, Any]]:
    with gr.Accordion("How it predicts and chooses", open=False) as accordion:
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


def _group(
    group: str, cache: TraCacheConfig, beside: Callable[[Setting], None] = lambda declared: None
) -> dict[str, Any]:
    """Add the controls of a group, each with what depends on it next to it.

    ``beside`` may add something of its own after each.
    """
    members = [s for s in ON_PAGE.values() if s.group == group]
    controls: dict[str, Any] = {}
    for declared in members:
        if declared.only is not None:
            continue
        controls[declared.name] = add_control(declared, getattr(cache, declared.name))
        beside(declared)
        for other in members:
            if other.only is not None and other.only[0] == declared.name:
                shown = getattr(cache, declared.name) == other.only[1]
                controls[other.name] = add_control(other, getattr(cache, other.name), shown)
    return controls


def add_control(declared: Setting, value: Any, visible: bool = True) -> Any:
    """Add the control of a setting, as declared."""
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
    return gr.Slider(low, high, step=step, **common)


def _own_options(arm: gr.Dropdown, model: gr.Dropdown) -> dict[str, Any]:
    """The settings that arms have of their own, each shown with its arm only."""
    controls: dict[str, Any] = {}
    groups: dict[str, gr.Row] = {}
    for arm_id in dict.fromkeys(owner for owner, _ in arm_options()):
        with gr.Row(visible=False) as groups[arm_id]:
            for option in ARMS[arm_id].options.values():
                controls[option_name(arm_id, option.name)] = gr.Number(
                    option.default,
                    label=option.label,
                    info=option.help or None,
                    minimum=option.low,
                    maximum=option.high,
                    step=1 if option.kind == "whole" else 0.01,
                    min_width=90,
                    visible=not option.video,
                )
    arm.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in groups],
        arm,
        list(groups.values()),
        **QUIET,
    )
    for_video = [
        controls[option_name(owner, option.name)] for owner, option in arm_options() if option.video
    ]
    for control in for_video:
        model.change(
            lambda chosen: gr.update(visible=find_model(chosen).makes_video),
            model,
            control,
            **QUIET,
        )
    return controls


def _sampling(spec: ModelSpec, model: gr.Dropdown) -> dict[str, Any]:
    with gr.Accordion("Steps, guidance, seed", open=False):
        # A program calls the endpoint without ever choosing a model on the page, so the slider
        # reaches as far as any model; what is too far for one is refused with a message.
        most = max(entry.max_steps for entry in MODELS.values())
        steps = gr.Slider(2, most, spec.steps, step=1, label="Steps")
        guidance_scale = gr.Slider(
            1, spec.max_guidance_scale, spec.guidance_scale, step=0.1, label="Guidance scale"
        )
        scheduler = gr.Dropdown(
            list(spec.schedulers), value=spec.schedulers[0], label="Scheduler", interactive=True
        )
        size = _video_size(spec, model)
        with gr.Row():
            seed = gr.Number(0, label="Seed", minimum=0, maximum=MAX_SEED, min_width=120)
            randomise = gr.Checkbox(False, label="Randomise", min_width=120)
        reuse = gr.Checkbox(
            True,
            label="Reuse an identical baseline",
            info="Full compute is not made again where only the cache's settings differ; its time "
            "is then the recorded one.",
        )
    return {
        **size,
        "seed": seed,
        "randomise": randomise,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "scheduler": scheduler,
        "reuse_baseline": reuse,
    }


def _video_size(spec: ModelSpec, model: gr.Dropdown) -> dict[str, Any]:
    """What a video measures, for models that make more than one size."""
    sizes = sizes_shown(spec)
    with gr.Row(visible=spec.resizable) as row:
        frames = gr.Slider(1, sizes.max_frames, sizes.frames, step=1, label="Frames", min_width=140)
        resolution = gr.Dropdown(
            list(sizes.resolutions),
            value=sizes.resolution,
            label="Resolution",
            interactive=True,
            min_width=110,
        )
        aspect = gr.Dropdown(
            list(sizes.ratios),
            value=sizes.ratio,
            label="Height to width",
            interactive=True,
            min_width=110,
        )
    model.change(
        lambda chosen: gr.update(visible=find_model(chosen).resizable),
        model,
        row,
        **QUIET,
    )
    return {"frames": frames, "resolution": resolution, "aspect": aspect}
