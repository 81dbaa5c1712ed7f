"""The left column: every control of a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tracache.caching.config import (
    ABSCISSAE,
    CRITERIA,
    GRANULARITIES,
    MAX_ORDER,
    SPREADS,
    TraCacheConfig,
)
from tracache.compare.arms import ARMS, REFERENCE
from tracache.compare.request import MAX_SEED
from tracache.models.families.opensora.sizes import (
    DEFAULT_FRAMES,
    DEFAULT_RATIO,
    DEFAULT_RESOLUTION,
    MAX_FRAMES,
    RATIOS,
    RESOLUTIONS,
)
from tracache.models.presets import CUSTOM
from tracache.models.registry import MODELS, find_model
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

MAX_STRIDE_SHOWN = 8

#: Arms at once, full compute and the accelerated one among them.
MAX_ARMS = 4

#: Arms that only the command line and Python can run: the page opens no files of its host.
NOT_HERE = ("gates",)

ADAPTIVE = "Adaptive: compute where the predicted error grows"

#: Three ways to go about it: name, stride, and the preset where a model has presets of its own.
PACES = (("Faithful", 2, "20-10"), ("Balanced", 3, "20-7"), ("Fast", 4, "20-5"))


@dataclass(frozen=True)
class Controls:
    """The controls of a comparison by the name of their setting, and the buttons."""

    inputs: dict[str, Any]
    generate: gr.Button
    stop: gr.Button
    cost: gr.Button
    cost_text: gr.HTML
    subject: Subject


def option_name(arm: str, option: str) -> str:
    """Return the endpoint's parameter for an arm's own setting."""
    return f"{arm.replace('-', '_')}_{option}"


def arm_options() -> Iterator[tuple[str, str, Any]]:
    """Yield (arm, option, field) for every setting that arms have of their own."""
    for method in ARMS.values():
        for name, field in method.options.items():
            yield method.id, name, field


def add_controls(spec: ModelSpec, settings: Settings, backend: Backend) -> Controls:
    """Lay out the left column, with the defaults of a model."""
    subject = add_model(spec, settings, backend)
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", scale=3, min_width=120)
        stop = gr.Button("Stop", variant="stop", scale=1, min_width=80)
    cost = gr.Button("What will it cost?", size="sm", elem_id="ask-cost")
    cost_text = gr.HTML("", visible=False, padding=False, elem_id="cost")
    add_help(subject, spec, settings)
    inputs: dict[str, Any] = {
        "model": subject.model,
        "prompt": subject.prompt,
        "class_label": subject.class_label,
    }
    inputs |= _arms(spec, subject.model)
    inputs |= _sampling(spec, subject.model)
    follow_model(subject, inputs, settings, backend)
    return Controls(inputs, generate, stop, cost, cost_text, subject)


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
        show_progress="hidden",
        api_visibility="private",
    )
    preset.change(
        lambda chosen, model_id: (
            gr.update(value=preset_note(chosen, find_model(model_id)), visible=chosen != CUSTOM),
            gr.update(visible=chosen == CUSTOM),
        ),
        [preset, model],
        [preset_text, by_hand],
        show_progress="hidden",
        api_visibility="private",
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
            show_progress="hidden",
            api_visibility="private",
        )
    return {**schedule, "arm": arm, "also": also, "preset": preset, **tracache, **own}


def _paces() -> list[gr.Button]:
    with gr.Row(elem_classes="tc-paces"):
        return [gr.Button(name, size="sm", min_width=70) for name, _, _ in PACES]


def _schedule(cache: TraCacheConfig) -> dict[str, Any]:
    stride = gr.Slider(
        1,
        MAX_STRIDE_SHOWN,
        cache.stride,  # type: ignore[arg-type]
        step=1,
        label="Stride",
        info="Every so many steps, one computes fully; 1 skips none.",
    )
    adaptive = gr.Checkbox(False, label=ADAPTIVE)
    tolerance = gr.Slider(
        0.001,
        0.1,
        cache.tolerance,
        step=0.001,
        label="Tolerance",
        info="How far steps skipped in a row may move the final latents, by estimate.",
        visible=False,
    )
    adaptive.change(
        lambda chosen: (gr.update(visible=not chosen), gr.update(visible=chosen)),
        adaptive,
        [stride, tolerance],
        show_progress="hidden",
        api_visibility="private",
    )
    max_order = gr.Slider(
        0,
        MAX_ORDER,
        cache.max_order,
        step=1,
        label="Max order",
        info="Highest order tried; 0 is reuse, and so is 1 where the order is chosen.",
    )
    last_step = gr.Checkbox(cache.last_step, label="Compute the last step")
    return {
        "stride": stride,
        "adaptive": adaptive,
        "tolerance": tolerance,
        "max_order": max_order,
        "last_step": last_step,
    }


def _refinements(cache: TraCacheConfig) -> tuple[gr.Accordion, dict[str, Any]]:
    with gr.Accordion("How it predicts and chooses", open=False) as accordion:
        granularity = gr.Radio(
            list(GRANULARITIES),
            value=cache.granularity,
            label="What has a trajectory",
            info="A block's output, or each attention's and MLP's.",
        )
        reading = gr.Checkbox(
            cache.local_extrapolation,
            label="Take φₙ, as Eq. 7 is written",
            info="Off: φₙ₋₁, whose error the least residual estimates.",
        )
        criterion = gr.Dropdown(
            list(CRITERIA),
            value=cache.criterion,
            label="Criterion",
            info="How |φₙ − φₙ₋₁| is judged; power lets the order follow the timestep.",
            interactive=True,
        )
        exponent = gr.Slider(
            -1,
            1,
            cache.exponent,
            step=0.1,
            label="Exponent",
            info="Of power: the order falls with t^p, or rises where p is negative.",
            visible=cache.criterion == "power",
        )
        window = gr.Slider(
            1,
            5,
            cache.window,
            step=1,
            label="Window",
            info="Average the spread over so many computed steps.",
        )
        spread = gr.Radio(
            list(SPREADS),
            value=cache.spread,
            label="Order chosen for",
            info="The whole batch (the paper's), each image, or each half of its guidance.",
        )
        abscissa = gr.Dropdown(
            list(ABSCISSAE),
            value=cache.abscissa,
            label="Extrapolate along",
            interactive=True,
        )
    criterion.change(
        lambda chosen: gr.update(visible=chosen == "power"),
        criterion,
        exponent,
        show_progress="hidden",
        api_visibility="private",
    )
    return accordion, {
        "granularity": granularity,
        "local_extrapolation": reading,
        "criterion": criterion,
        "exponent": exponent,
        "window": window,
        "spread": spread,
        "abscissa": abscissa,
    }


def _own_options(arm: gr.Dropdown, model: gr.Dropdown) -> dict[str, Any]:
    """The settings that arms have of their own, each shown with its arm only."""
    controls: dict[str, Any] = {}
    groups: dict[str, gr.Row] = {}
    for method in ARMS.values():
        if not method.options:
            continue
        with gr.Row(visible=False) as groups[method.id]:
            for name, field in method.options.items():
                whole = isinstance(field.default, int)
                controls[option_name(method.id, name)] = gr.Number(
                    field.default,
                    label=field.metadata["label"],
                    minimum=field.metadata["low"],
                    maximum=field.metadata["high"],
                    step=1 if whole else 0.01,
                    min_width=90,
                    visible=not field.metadata.get("video"),
                )
    arm.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in groups],
        arm,
        list(groups.values()),
        show_progress="hidden",
        api_visibility="private",
    )
    for_video = [
        controls[option_name(owner, name)]
        for owner, name, field in arm_options()
        if field.metadata.get("video")
    ]
    for control in for_video:
        model.change(
            lambda chosen: gr.update(visible=find_model(chosen).makes_video),
            model,
            control,
            show_progress="hidden",
            api_visibility="private",
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
    with gr.Row(visible=spec.resizable) as row:
        frames = gr.Slider(1, MAX_FRAMES, DEFAULT_FRAMES, step=1, label="Frames", min_width=140)
        resolution = gr.Dropdown(
            list(RESOLUTIONS),
            value=DEFAULT_RESOLUTION,
            label="Resolution",
            interactive=True,
            min_width=110,
        )
        aspect = gr.Dropdown(
            list(RATIOS),
            value=DEFAULT_RATIO,
            label="Height to width",
            interactive=True,
            min_width=110,
        )
    model.change(
        lambda chosen: gr.update(visible=find_model(chosen).resizable),
        model,
        row,
        show_progress="hidden",
        api_visibility="private",
    )
    return {"frames": frames, "resolution": resolution, "aspect": aspect}
