"""The left column: every control of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from tracache.compare.request import MAX_SEED, SETTINGS
from tracache.models.registry import sizes_shown
from tracache.models.spec import ModelSpec
from tracache.serving.backend import Backend
from tracache.settings import Settings
from tracache.ui.arms import add_arms, add_budget, follow_steps
from tracache.ui.models import (
    Subject,
    add_absent,
    add_builders,
    add_help,
    add_model,
    follow_model,
    runs_live,
)


@dataclass(frozen=True)
class Controls:
    """The controls of a comparison by the name of their setting, and the buttons.

    Each control is on the page as ``#set-NAME``.
    """

    inputs: dict[str, Any]
    generate: gr.Button
    stop: gr.Button
    stop_text: gr.HTML
    cost: gr.Button
    cost_text: gr.HTML
    subject: Subject
    plan: gr.HTML


def add_controls(spec: ModelSpec, settings: Settings, backend: Backend) -> Controls:
    """Lay out the left column, with the defaults of a model: little at first, the rest folded."""
    with gr.Column(elem_classes="tc-first"):
        subject = add_model(spec, settings, backend)
        add_help(subject, spec, settings)
        budget = add_budget(spec)
        with gr.Row(elem_classes="tc-go"):
            generate = gr.Button(
                "Generate", variant="primary", scale=3, min_width=120, elem_id="generate"
            )
            # One of the two is seen: this one while something runs that it would stop.
            stop = gr.Button("Stop", variant="stop", scale=3, min_width=120, elem_id="stop")
            live = gr.Checkbox(
                False,
                label="Live",
                min_width=80,
                scale=1,
                elem_id="live",
                interactive=True,
                visible=runs_live(spec),
            )
        stop_text = gr.HTML("", visible=False, padding=False, elem_id="stop-note")
    subject.outputs.update(generate=generate, live=live)
    inputs: dict[str, Any] = {
        "model": subject.model,
        "prompt": subject.prompt,
        "class_label": subject.class_label,
        "compute": budget.compute,
    }
    with gr.Column(elem_classes="tc-more"):
        with gr.Accordion("Method and arms", open=False, elem_id="fold-method"):
            inputs |= add_arms(spec, subject.model, budget)
            cost = gr.Button("What will it cost?", size="sm", elem_id="ask-cost")
            cost_text = gr.HTML("", visible=False, padding=False, elem_id="cost")
        with gr.Accordion("Steps, guidance, seed", open=False, elem_id="fold-sampling"):
            inputs |= _sampling(spec, subject)
        add_builders(subject, spec, settings)
        add_absent(settings, backend)
    for name, control in inputs.items():
        control.elem_id = f"set-{name}"
    follow_steps(budget.compute, inputs["steps"], subject.model)
    follow_model(subject, inputs, settings, backend)
    return Controls(inputs, generate, stop, stop_text, cost, cost_text, subject, budget.plan)


def _sampling(spec: ModelSpec, subject: Subject) -> dict[str, Any]:
    steps = gr.Slider(2, spec.max_steps, spec.steps, step=1, label="Steps")
    guidance_scale = gr.Slider(
        1, spec.max_guidance_scale, spec.guidance_scale, step=0.1, label="Guidance scale"
    )
    negative = gr.Textbox(
        "",
        label=SETTINGS["negative_prompt"].label,
        placeholder="What the picture should not show",
        visible=spec.takes_negative,
    )
    scheduler = gr.Dropdown(
        list(spec.schedulers),
        value=spec.schedulers[0],
        label="Scheduler",
        interactive=True,
        filterable=False,
        # When a model is chosen, the last one's scheduler is still on its way from the browser;
        # what is asked for in earnest is checked with the rest of the request.
        allow_custom_value=True,
    )
    subject.outputs["size"], size = _video_size(spec)
    subject.outputs["negative_prompt"] = negative
    with gr.Row():
        seed = gr.Number(0, label="Seed", minimum=0, maximum=MAX_SEED, min_width=120)
        randomise = gr.Checkbox(False, label="Randomise", min_width=120)
    reuse = gr.Checkbox(
        True,
        label="Reuse an identical baseline",
        info="Full compute's picture is not made again where only the cache's settings "
        "differ. A model whose round is too long to be timed anew then has no speed-up.",
    )
    return {
        **size,
        "seed": seed,
        "randomise": randomise,
        "steps": steps,
        "guidance_scale": guidance_scale,
        "negative_prompt": negative,
        "scheduler": scheduler,
        "reuse_baseline": reuse,
    }


def _video_size(spec: ModelSpec) -> tuple[gr.Row, dict[str, Any]]:
    """What a video measures, for models that make more than one size, and where it stands."""
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
    return row, {"frames": frames, "resolution": resolution, "aspect": aspect}
