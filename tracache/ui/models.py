"""The model, and what is asked of it: a prompt or a class; the other controls follow the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import PUBLISHED
from tracache.compare.arms import ARMS
from tracache.models.presets import CUSTOM
from tracache.models.registry import MODELS, find_model
from tracache.models.sources import labels_of
from tracache.models.spec import ModelSpec
from tracache.models.vocabulary import vocabulary_of
from tracache.serving.backend import Backend
from tracache.settings import Settings
from tracache.ui.offer import offered
from tracache.ui.views.notes import absent_note, model_note, vocabulary_note
from tracache.ui.widgets.builder import add_builder
from tracache.ui.widgets.examples import add_examples, show_examples


@dataclass(frozen=True)
class Subject:
    """The controls that say which model makes what.

    Attributes
    ----------
    model, prompt, class_label : gradio components
        Of these the prompt or the class is shown, as the model takes it.
    outputs : dict
        Whatever else changes with the model, by name.
    """

    model: gr.Dropdown
    prompt: gr.Textbox
    class_label: gr.Dropdown
    outputs: dict[str, Any]


def add_model(spec: ModelSpec, settings: Settings, backend: Backend) -> Subject:
    """Add the model, the prompt and the class; what helps to write a prompt comes later."""
    model = gr.Dropdown(
        model_choices(spec, settings, backend),
        value=spec.id,
        label="Model",
        interactive=True,
    )
    note = gr.HTML(
        model_note(spec, backend.why_unavailable(spec.id)), padding=False, elem_id="model-note"
    )
    with gr.Column() as prompt_box:
        prompt = gr.Textbox(
            label="Prompt",
            value=_first_example(spec),
            placeholder="What the picture should show",
            # Of one line, so that Enter runs; Shift and Enter begins another.
            lines=1,
            max_lines=4,
        )
        words = gr.HTML(
            vocabulary_note(_first_example(spec), vocabulary_of(spec, settings)),
            padding=False,
            elem_id="vocabulary",
        )
    with gr.Column(visible=False) as class_box:
        class_label = gr.Dropdown(
            [],
            label="Class",
            info="Type to search; names and numbers are both understood.",
            filterable=True,
            # What is typed is looked up, with near names for what is not there.
            allow_custom_value=True,
            interactive=True,
        )
    prompt.change(
        lambda text, chosen: vocabulary_note(text, vocabulary_of(find_model(chosen), settings)),
        [prompt, model],
        words,
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="always_last",
    )
    outputs = {
        "note": note,
        "prompt_box": prompt_box,
        "words": words,
        "prompt": prompt,
        "class_box": class_box,
        "class_label": class_label,
    }
    return Subject(model, prompt, class_label, outputs)


def add_help(subject: Subject, spec: ModelSpec, settings: Settings) -> None:
    """Add examples."""
    subject.outputs["examples"] = add_examples(spec, settings)


def add_builders(subject: Subject, spec: ModelSpec, settings: Settings) -> None:
    """Add drop-downs that write a prompt, for models with a small grammar."""
    for entry in offered(settings):
        vocabulary = vocabulary_of(entry, settings)
        if vocabulary is not None:
            name = f"builder_{entry.id}"
            subject.outputs[name] = add_builder(vocabulary, subject.prompt, entry is spec)


def add_absent(settings: Settings, backend: Backend) -> None:
    """Say of models that cannot run here why, where there are some."""
    there = [(entry, backend.why_unavailable(entry.id)) for entry in offered(settings)]
    if absent := [(entry, why) for entry, why in there if why]:
        title = f"Not here: {len(absent)} more model{'s' if len(absent) > 1 else ''}"
        with gr.Accordion(title, open=False, elem_id="absent"):
            gr.HTML(absent_note(absent), padding=False)


def runs_live(spec: ModelSpec) -> bool:
    """Whether a run is short enough to be repeated while a slider moves."""
    return spec.embedded and not spec.makes_video


def rivals_of(spec: ModelSpec) -> list[str]:
    """What TraCache is held against on the page, until somebody chooses.

    Fewer steps at equal cost always; as published where a run is short, and the model has blocks.
    """
    published = runs_live(spec) and not ARMS[PUBLISHED].refusal(spec)
    return ["fewer-steps", *([PUBLISHED] if published else [])]


def follow_model(
    subject: Subject, controls: Mapping[str, Any], settings: Settings, backend: Backend
) -> None:
    """Let the controls of sampling and cache take the defaults of the model that is chosen.

    Parameters
    ----------
    subject : Subject
        The model's controls, complete.
    controls : mapping
        Components by the name of their parameter.
    settings : Settings
        Of the process.
    backend : Backend
        Knows which models can run.
    """
    names = tuple(_defaults(next(iter(MODELS.values()))))
    outputs = {**subject.outputs, **{name: controls[name] for name in names}}

    def follow(chosen: str, prompt: str | None) -> dict[Any, Any]:
        spec = find_model(chosen)
        changes = {
            **model_changes(subject, spec, prompt or "", settings, backend),
            **_defaults(spec),
        }
        return {outputs[name]: change for name, change in changes.items()}

    # Only what a visitor chooses: a link that is opened brings its own settings along.
    subject.model.input(
        follow,
        [subject.model, subject.prompt],
        list(outputs.values()),
        show_progress="hidden",
        api_visibility="private",
    )


def model_changes(
    subject: Subject, spec: ModelSpec, prompt: str, settings: Settings, backend: Backend
) -> dict[str, Any]:
    """Return updates of what shows with a model: its note, and the prompt or the class.

    A prompt of the visitor's own stays; another model's example gives way to this one's.
    """
    classes = spec.task == "class-to-image"
    reason = backend.why_unavailable(spec.id)
    labels = labels_of(spec, settings)
    choices = labels.choices() if labels is not None else []
    examples = {text for entry in MODELS.values() for text in entry.example_prompts}
    if not prompt or (prompt in examples and prompt not in spec.example_prompts):
        prompt = _first_example(spec)
    builders = {
        name: gr.update(visible=name == f"builder_{spec.id}")
        for name in subject.outputs
        if name.startswith("builder_")
    }
    return {
        "note": model_note(spec, reason),
        "generate": gr.update(interactive=not reason),
        "live": gr.update(visible=runs_live(spec)) | ({} if runs_live(spec) else {"value": False}),
        "prompt_box": gr.update(visible=not classes),
        "words": vocabulary_note(prompt, vocabulary_of(spec, settings)),
        "prompt": prompt,
        "class_box": gr.update(visible=classes),
        "class_label": gr.update(choices=choices, value=choices[0][1] if choices else None),
        "examples": show_examples(spec, settings),
        "negative_prompt": gr.update(visible=spec.takes_negative),
        "size": gr.update(visible=spec.resizable),
        **builders,
    }


def model_choices(spec: ModelSpec, settings: Settings, backend: Backend) -> list[tuple[str, str]]:
    """Return the models that can run here, and one that is chosen in any case."""
    return [
        (entry.title, entry.id)
        for entry in offered(settings)
        if entry.id == spec.id or not backend.why_unavailable(entry.id)
    ]


def preset_choices(spec: ModelSpec) -> list[tuple[str, str]]:
    """Return a model's presets for a drop-down, by hand first."""
    return [("Set by hand", CUSTOM), *((p.title, p.id) for p in spec.presets.values())]


def set_computed(spec: ModelSpec, steps: int, computed: int) -> Any:
    """Return an update of the number of computed steps, whose slider reaches as far as is needed.

    Not less far than the model's own steps, or what is still on its way from the browser would be
    refused.
    """
    return gr.update(maximum=max(spec.steps, steps, computed), value=computed)


def _defaults(spec: ModelSpec) -> dict[str, Any]:
    return {
        "steps": gr.update(maximum=spec.max_steps, value=spec.steps),
        "guidance_scale": spec.guidance_scale,
        "scheduler": gr.update(choices=list(spec.schedulers), value=spec.schedulers[0]),
        "compute": set_computed(spec, spec.steps, PlannedConfig().budget(spec.steps)),
        "stride": spec.cache.stride,
        "also": rivals_of(spec),
        "max_order": spec.cache.max_order,
        "last_step": spec.cache.last_step,
        "preset": gr.update(choices=preset_choices(spec), value=CUSTOM),
    }


def _first_example(spec: ModelSpec) -> str:
    takes_prompt = spec.task != "class-to-image"
    return spec.example_prompts[0] if spec.example_prompts and takes_prompt else ""
