"""The left column: every control of a comparison, and what a program is told about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tracache.config import ABSCISSAE, CRITERIA, GRANULARITIES, MAX_ORDER, SPREADS, TraCacheConfig
from tracache.methods import METHODS, REFERENCE
from tracache.models.registry import PAGE_MODELS, ModelSpec, find_model
from tracache.presets import CUSTOM
from tracache.request import MAX_SEED
from tracache.settings import Settings
from tracache.ui.models import add_help, add_model, follow_model
from tracache.ui.views import arm_note, preset_note

MAX_STRIDE_SHOWN = 8

EXTRA_ARM = "fewer-steps"

#: Arms that only the command line and Python can run: the page opens no files of its host.
NOT_HERE = ("gates",)

ADAPTIVE = "Adaptive: compute where the predicted error grows"


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes
    ----------
    component : gradio component
        What stands on the page.
    about : str
        What the endpoint's documentation says of it.
    """

    component: Any
    about: str


@dataclass(frozen=True)
class Controls:
    """The controls of a comparison by the name of their parameter, and the buttons."""

    inputs: dict[str, Control]
    generate: gr.Button
    stop: gr.Button


def option_name(arm: str, option: str) -> str:
    """Return the endpoint's parameter for an arm's own setting."""
    return f"{arm.replace('-', '_')}_{option}"


def arm_options() -> Iterator[tuple[str, str, Any]]:
    """Yield (arm, option, field) for every setting that arms have of their own.

    What matters to videos alone is left out as long as no model on the page makes them.
    """
    for method in METHODS.values():
        for name, field in method.options.items():
            if not field.metadata.get("video"):
                yield method.id, name, field


def add_controls(spec: ModelSpec, settings: Settings) -> Controls:
    """Lay out the left column, with the defaults of a model."""
    subject = add_model(spec, settings)
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", scale=3, min_width=120)
        stop = gr.Button("Stop", variant="stop", scale=1, min_width=80)
    fewer_steps = gr.Checkbox(
        label="Also run fewer steps at equal cost",
        info="Full compute with just as many full steps: what the cache has to beat.",
    )
    add_help(subject, spec, settings)
    inputs = {
        "model": Control(subject.model, f"Name of the model: {', '.join(PAGE_MODELS)}."),
        "prompt": Control(subject.prompt, "What the image should show; not for models of classes."),
    }
    arms = _arms(spec, subject.model)
    inputs |= _sampling(spec)
    inputs |= arms
    inputs["fewer_steps"] = Control(
        fewer_steps, "Also run full compute with as few steps as cost the same."
    )
    inputs["class_label"] = Control(
        subject.class_label, "Class by name or number; only for models of classes."
    )
    components = {name: control.component for name, control in inputs.items()}
    follow_model(subject, components, settings)
    return Controls(inputs, generate, stop)


def _arms(spec: ModelSpec, model: gr.Dropdown) -> dict[str, Control]:
    """The accelerated arm, how it skips, and what else can be set."""
    with gr.Group():
        arm = gr.Dropdown(
            [(m.title, m.id) for m in METHODS.values() if m.id not in (REFERENCE, EXTRA_ARM)],
            value="tracache",
            label="Accelerated by",
            interactive=True,
        )
        note = gr.HTML(arm_note("tracache", spec, NOT_HERE), padding=True, elem_id="arm-note")
        own = _own_options(arm)
        preset = gr.Dropdown(
            [("Set by hand", CUSTOM), *((p.title, p.id) for p in spec.presets.values())],
            value=CUSTOM,
            label="Preset",
            interactive=True,
            visible=bool(spec.presets),
        )
        preset_text = gr.HTML("", padding=True, visible=False, elem_id="preset-note")
        with gr.Column() as by_hand:
            schedule = _schedule(spec.cache)
    refined, tracache = _refinements(spec.cache)
    arm.change(
        lambda chosen, named, model_id: (
            arm_note(chosen, find_model(model_id), NOT_HERE),
            gr.update(visible=METHODS[chosen].scheduled and bool(find_model(model_id).presets)),
            gr.update(visible=METHODS[chosen].scheduled and named == CUSTOM),
            gr.update(visible=METHODS[chosen].forecasts),
        ),
        [arm, preset, model],
        [note, preset, by_hand, refined],
        show_progress="hidden",
        api_visibility="private",
    )
    preset.change(
        lambda chosen, model_id, by: (
            gr.update(value=preset_note(chosen, find_model(model_id)), visible=chosen != CUSTOM),
            gr.update(visible=chosen == CUSTOM and METHODS[by].scheduled),
        ),
        [preset, model, arm],
        [preset_text, by_hand],
        show_progress="hidden",
        api_visibility="private",
    )
    presets = ", ".join((CUSTOM, *spec.presets))
    return {
        **schedule,
        "arm": Control(arm, f"The accelerated arm: {', '.join(METHODS)}."),
        "preset": Control(preset, f"Settings chosen beforehand, or {CUSTOM}: {presets}."),
        **tracache,
        **own,
    }


def _schedule(cache: TraCacheConfig) -> dict[str, Control]:
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
        "stride": Control(stride, "Every so many steps one computes fully."),
        "adaptive": Control(adaptive, "Compute where the predicted error passes the tolerance."),
        "tolerance": Control(tolerance, "Of adaptive: how far skipped steps may move the latents."),
        "max_order": Control(max_order, "Highest order of the extrapolation, 0 to 5."),
        "last_step": Control(last_step, "Compute the last step too."),
    }


def _refinements(cache: TraCacheConfig) -> tuple[gr.Accordion, dict[str, Control]]:
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
        "granularity": Control(granularity, f"What has a trajectory: {_either(GRANULARITIES)}."),
        "local_extrapolation": Control(reading, "Take φ_n, as Eq. 7 is written, not φ_(n−1)."),
        "criterion": Control(criterion, f"How residuals are judged: {_either(CRITERIA)}."),
        "exponent": Control(exponent, "Of the criterion power: −1 to −0.2 or 0.2 to 1."),
        "window": Control(window, "Average spreads over so many computed steps, 1 to 10."),
        "spread": Control(spread, f"Over what a spread is taken: {_either(SPREADS)}."),
        "abscissa": Control(abscissa, f"Along what to extrapolate: {_either(ABSCISSAE)}."),
    }


def _own_options(arm: gr.Dropdown) -> dict[str, Control]:
    """The settings that arms have of their own, each shown with its arm only."""
    controls: dict[str, Control] = {}
    groups: dict[str, gr.Row] = {}
    for method in METHODS.values():
        if not method.options:
            continue
        with gr.Row(visible=False) as groups[method.id]:
            for name, field in method.options.items():
                whole = isinstance(field.default, int)
                number = gr.Number(
                    field.default,
                    label=field.metadata["label"],
                    minimum=field.metadata["low"],
                    maximum=field.metadata["high"],
                    step=1 if whole else 0.01,
                    min_width=90,
                )
                low, high = field.metadata["low"], field.metadata["high"]
                about = f"Of {method.title}: {field.metadata['label'].lower()}, {low} to {high}."
                controls[option_name(method.id, name)] = Control(number, about)
    arm.change(
        lambda chosen: [gr.update(visible=chosen == name) for name in groups],
        arm,
        list(groups.values()),
        show_progress="hidden",
        api_visibility="private",
    )
    return controls


def _sampling(spec: ModelSpec) -> dict[str, Control]:
    with gr.Accordion("Steps, guidance, seed", open=False):
        # A program calls the endpoint without ever choosing a model on the page, so the slider
        # reaches as far as any model; what is too far for one is refused with a message.
        most = max(entry.max_steps for entry in PAGE_MODELS.values())
        steps = gr.Slider(2, most, spec.steps, step=1, label="Steps")
        guidance_scale = gr.Slider(
            1, spec.max_guidance_scale, spec.guidance_scale, step=0.1, label="Guidance scale"
        )
        scheduler = gr.Dropdown(
            list(spec.schedulers), value=spec.schedulers[0], label="Scheduler", interactive=True
        )
        with gr.Row():
            seed = gr.Number(0, label="Seed", minimum=0, maximum=MAX_SEED, min_width=120)
            randomise = gr.Checkbox(False, label="Randomise", min_width=120)
    return {
        "seed": Control(seed, f"Of the initial noise, 0 to {MAX_SEED}; not with randomise."),
        "randomise": Control(randomise, "Draw a new seed."),
        "steps": Control(steps, "Denoising steps of full compute."),
        "guidance_scale": Control(guidance_scale, "Strength of the prompt; 1 is none."),
        "scheduler": Control(scheduler, f"One of {', '.join(spec.schedulers)}."),
    }


def _either(names: tuple[str, ...]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]])
