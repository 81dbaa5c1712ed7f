"""What the page shows of what it has not made itself: nothing yet, or a recording that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from tracache.models.registry import find_model
from tracache.models.spec import ModelSpec
from tracache.settings import Settings
from tracache.ui.models import Subject
from tracache.ui.views.notes import EMPTY_HEATMAP, said
from tracache.ui.views.progress import EMPTY_STATUS, recording_status
from tracache.ui.widgets.examples import chosen_subject, first_look, show_recording

#: What a job shows, by name, when there is none.
EMPTY: dict[str, Any] = {
    "headline": "",
    "beside": "",
    "table": "",
    "frames": gr.update(value=None, visible=False),
    "filmstrip": "",
    "scrubber": None,
    "heatmap": None,
    "heatmap_text": "",
    "inspector": None,
    "path": gr.update(value=None, visible=False),
}

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def begin_afresh(spec: ModelSpec, settings: Settings, subject: str = "") -> dict[str, Any]:
    """Return changes that leave nothing of an earlier run, by the names of what a job shows.

    Parameters
    ----------
    spec : ModelSpec
        The model that is chosen.
    settings : Settings
        Of the process; its assets hold the recordings.
    subject : str, default ""
        The example that is chosen, whose recording is shown; if not given, the model's first.
    """
    look = show_recording(spec, settings, subject) if subject else first_look(spec, settings)
    return {
        **EMPTY,
        "heatmap_text": said(EMPTY_HEATMAP),
        "status": recording_status(subject) if subject and look else EMPTY_STATUS,
        "viewer": look,
        "share": None,
        "current": "",
        "path_block": gr.update(choices=[], value=None),
    }


def follow_choice(subject: Subject, outputs: Mapping[str, Any], settings: Settings) -> None:
    """Let a model or an example that is chosen clear what is shown of another.

    Parameters
    ----------
    subject : Subject
        The model's controls.
    outputs : mapping
        Components of what a job shows, by name.
    settings : Settings
        Of the process.
    """
    names = tuple(begin_afresh(find_model(subject.model.value), settings))
    shown = {name: outputs[name] for name in names}

    def other_model(chosen: str) -> dict[Any, Any]:
        changes = begin_afresh(find_model(chosen), settings)
        return {shown[name]: change for name, change in changes.items()}

    def example(event: gr.EventData, chosen: str) -> dict[Any, Any]:
        words = chosen_subject(event._data)
        changes = begin_afresh(find_model(chosen), settings, words)
        cleared = {shown[name]: change for name, change in changes.items()}
        if not words:
            return cleared
        number = event._data.get("number")
        asked = {subject.prompt: words} if number is None else {subject.class_label: number}
        return {**asked, **cleared}

    # Only what a visitor chooses: a link that is opened brings its own pictures along.
    subject.model.input(other_model, subject.model, list(shown.values()), **QUIET)
    subject.outputs["examples"].select(
        example, subject.model, [subject.prompt, subject.class_label, *shown.values()], **QUIET
    )
