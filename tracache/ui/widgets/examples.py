"""Examples with thumbnails; one that is chosen fills in the prompt or class, and is shown."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from tracache.compare.arms import ARMS
from tracache.compare.examples import FOLDER, Example, load_examples
from tracache.media import VideoSize
from tracache.models.sources import labels_of
from tracache.models.spec import ModelSpec
from tracache.settings import Settings
from tracache.ui.widgets.viewer import file_url

_STATIC = files("tracache.ui.widgets")


def add_examples(spec: ModelSpec, settings: Settings) -> gr.HTML:
    """Add a model's examples; its value is what :func:`show_examples` returns."""
    return gr.HTML(
        show_examples(spec, settings),
        html_template='<p class="tce-title"></p><ul class="tce"></ul>',
        js_on_load=(_STATIC / "examples.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="examples",
    )


def chosen_subject(data: Any) -> str:
    """Return the prompt or the class of the example that was pressed; empty if there is none."""
    return str(data.get("subject", "")) if isinstance(data, dict) else ""


def show_examples(spec: ModelSpec, settings: Settings) -> dict[str, Any]:
    """Return a model's examples for the page, with thumbnails where they were recorded."""
    recorded = {e.subject: e for e in load_examples(settings.assets) if e.model == spec.id}
    labels = labels_of(spec, settings) if spec.task == "class-to-image" else None
    entries: list[dict[str, Any]] = []
    for subject in spec.example_prompts:
        entry: dict[str, Any] = {"subject": subject, "video": spec.makes_video}
        if labels is not None:
            entry["number"] = labels.find(subject)
        if subject in recorded:
            example = recorded[subject]
            entry |= {
                "src": file_url(settings.assets / FOLDER / example.fast),
                "label": f"{example.speed_up:.1f}×, {example.psnr:.1f} dB, {example.label}",
            }
        entries.append(entry)
    where = {example.label for example in recorded.values()}
    title = f"Examples, {where.pop()}" if len(where) == 1 else "Examples"
    return {"title": title if entries else "", "examples": entries}


def first_look(spec: ModelSpec, settings: Settings) -> dict[str, Any] | None:
    """Return what the viewer shows before the first run: the model's first recorded example."""
    recorded = (e.subject for e in load_examples(settings.assets) if e.model == spec.id)
    subject = next(recorded, None)
    return None if subject is None else show_recording(spec, settings, subject)


def show_recording(spec: ModelSpec, settings: Settings, subject: str) -> dict[str, Any] | None:
    """Return what the viewer shows of an example that was recorded; None if it was not."""
    recorded = (e for e in load_examples(settings.assets) if e.model == spec.id)
    example = next((e for e in recorded if e.subject == subject), None)
    if example is None:
        return None
    size = spec.size
    shown: dict[str, Any] = {
        "label": f"A recording, not a run of yours: “{example.subject}”, {example.label}. "
        "Press Generate for your own.",
        "arms": [
            _arm(settings, example, "full", "Full compute", example.full, ""),
            _arm(
                settings,
                example,
                example.arm,
                ARMS[example.arm].title,
                example.fast,
                _note(example),
            ),
        ],
        "ratio": 1.0,
        "video": spec.makes_video,
    }
    if isinstance(size, VideoSize):
        shown |= {"fps": size.fps, "frames": size.frames, "ratio": size.width / size.height}
    return shown


def _note(example: Example) -> str:
    return f"{example.speed_up:.1f}× faster, {example.psnr:.1f} dB"


def _arm(
    settings: Settings, example: Example, arm: str, title: str, name: str, note: str
) -> dict[str, Any]:
    return {
        "id": arm,
        "title": title,
        "state": "done",
        "src": file_url(settings.assets / FOLDER / name),
        "download": name,
        "note": note,
        "alt": f"{example.subject}, by {title}, recorded",
    }
