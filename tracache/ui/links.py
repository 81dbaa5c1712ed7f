"""Links that lead to a job, or to its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr

from tracache.compare.request import Request
from tracache.compare.serialise import from_given, from_query
from tracache.models.loading import ModelUnavailableError
from tracache.serving.backend import Backend
from tracache.settings import Settings
from tracache.ui.controls import Controls
from tracache.ui.form import fill_controls
from tracache.ui.handlers import Handlers
from tracache.ui.models import model_changes, model_choices, preset_choices, set_computed
from tracache.ui.toast import plain
from tracache.ui.widgets.options import PLACES
from tracache.ui.widgets.share import share_request

GONE = "That run is no longer kept. Its settings are here: press Generate to make it again."


def link_outputs(controls: Controls) -> list[Any]:
    """Return every component that a link sets, but for what a job shows."""
    # What follows a change of the arm or the model reads its own settings: these come first.
    own = [controls.inputs[place] for place in PLACES]
    return [*own, *controls.subject.outputs.values(), *controls.inputs.values()]


def fill_page(
    request: Request, controls: Controls, settings: Settings, backend: Backend
) -> dict[Any, Any]:
    """Return changes that make the controls hold a request, whatever they held before."""
    spec, values = request.spec, fill_controls(request)
    about = model_changes(controls.subject, spec, values["prompt"], settings, backend)
    values["model"] = gr.update(choices=model_choices(spec, settings, backend))
    values["model"] |= {"value": spec.id}
    values["class_label"] = about["class_label"] | {"value": request.class_label}
    values["negative_prompt"] = about["negative_prompt"] | {"value": request.negative_prompt}
    values["scheduler"] = gr.update(choices=list(spec.schedulers), value=request.scheduler)
    values["preset"] = gr.update(choices=preset_choices(spec), value=request.preset)
    values["steps"] = gr.update(maximum=spec.max_steps, value=request.steps)
    values["compute"] = set_computed(spec, request.steps, values["compute"])
    changes = {controls.subject.outputs[name]: change for name, change in about.items()}
    # The prompt and the class are among both: what the request says of them counts.
    return changes | {controls.inputs[name]: value for name, value in values.items()}


def opener(
    handlers: Handlers, controls: Controls, outputs: Mapping[str, Any], settings: Settings
) -> Callable[..., Iterator[dict[Any, Any]]]:
    """Return what opens a link: fills in the controls, and shows the job if it is kept.

    Parameters
    ----------
    handlers : Handlers
        Of the page.
    controls : Controls
        Of the page.
    outputs : mapping
        Components of what a job shows, by name.
    settings : Settings
        Of the process.
    """

    def open_link(http: gr.Request, address: Any, mine: list[str]) -> Iterator[dict[Any, Any]]:
        search, token = _read_address(address)
        query = dict(parse_qsl(search.removeprefix("?")))
        job = handlers.jobs.find(query.get("run", ""))
        if job is None and "model" not in query:
            yield gr.skip()
            return
        try:
            request = job.request if job is not None else from_given(from_query(urlencode(query)))
        except (ValueError, ModelUnavailableError) as error:
            gr.Warning(plain(f"This link could not be read: {error}.", *query))
            yield gr.skip()
            return
        changes = fill_page(request, controls, settings, handlers.backend)
        if job is None:
            if "run" in query:
                gr.Info(GONE)
            changes[outputs["share"]] = {"run": "", "archive": "", **share_request(request)}
            yield changes
            return
        # A link shows a job to everybody; whoever began it may stop it as well.
        own = handlers.jobs.adopt(http.session_hash or "", job, token)
        for shown in handlers.show(job, mine, own):
            yield changes | {outputs[name]: value for name, value in shown.items()}
            changes = {}

    return open_link


def _read_address(address: Any) -> tuple[str, str]:
    """Return (search, token) of what the page says of its address; anything else is empty."""
    if not isinstance(address, dict):
        return "", ""
    search, token = address.get("search"), address.get("token")
    return (search if isinstance(search, str) else "", token if isinstance(token, str) else "")
