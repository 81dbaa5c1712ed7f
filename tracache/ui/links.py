"""Links that lead to a run, or to its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr

from tracache.compare.request import Request
from tracache.compare.serialise import from_query, remake
from tracache.models.loading import ModelUnavailableError
from tracache.settings import Settings
from tracache.ui.controls import Controls
from tracache.ui.form import fill_controls
from tracache.ui.handlers import OUTPUTS, Handlers
from tracache.ui.models import model_changes, preset_choices
from tracache.ui.widgets.share import share_request

GONE = "That run is no longer kept. Its settings are here: press Generate to make it again."


#: Tells of a link once, when the page opens; a plain visit asks the server nothing.
TELL = """
const query = new URLSearchParams(location.search);
if (query.has("run") || query.has("model")) {
  props.value = location.search;
  trigger("submit");
}
"""


def add_address() -> gr.HTML:
    """Add what knows the page's address; its value is the part from the question mark on."""
    return gr.HTML(
        "",
        html_template="<span hidden></span>",
        js_on_load=TELL,
        elem_id="address",
        container=False,
    )


def link_outputs(controls: Controls) -> dict[str, Any]:
    """Return every component that a link sets, by name, but for what a run shows."""
    about = {f"about_{name}": part for name, part in controls.subject.outputs.items()}
    return {**about, **controls.inputs}


def opener(
    handlers: Handlers, controls: Controls, settings: Settings
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Return what opens a link: fills in the controls, and shows the run if it is kept.

    Its outputs are those of :func:`link_outputs` and then those of a run.
    """
    names = list(link_outputs(controls))

    def fill(asked: Request) -> list[Any]:
        spec, values = asked.spec, fill_controls(asked)
        about = model_changes(controls.subject, spec, values["prompt"], settings, handlers.backend)
        changes: dict[str, Any] = {f"about_{name}": change for name, change in about.items()}
        changes |= values
        changes["scheduler"] = gr.update(choices=list(spec.schedulers), value=asked.scheduler)
        changes["preset"] = gr.update(
            choices=preset_choices(spec), value=asked.preset, visible=bool(spec.presets)
        )
        # The prompt and the class are among both; both must say the same.
        changes["about_prompt"] = values["prompt"]
        label = about["class_label"]
        label["value"] = asked.class_label
        changes["class_label"] = changes["about_class_label"] = label
        return [changes.get(name, gr.skip()) for name in names]

    def open_link(request: gr.Request, search: str, mine: list[str]) -> Iterator[tuple[Any, ...]]:
        query = dict(parse_qsl(search.removeprefix("?")))
        skip = [gr.skip()] * len(names)
        run = handlers.runs.find(query.get("run", ""))
        if run is None and "model" not in query:
            yield (*skip, *[gr.skip()] * len(OUTPUTS))
            return
        try:
            asked = run.asked if run is not None else remake(from_query(urlencode(query)))
        except (ValueError, ModelUnavailableError) as error:
            gr.Warning(f"This link could not be read: {error}.")
            yield (*skip, *[gr.skip()] * len(OUTPUTS))
            return
        if run is None:
            if "run" in query:
                gr.Info(GONE)
            share = {"run": "", "archive": "", **share_request(asked)}
            shown = [share if name == "share" else gr.skip() for name in OUTPUTS]
            yield (*fill(asked), *shown)
            return
        handlers.runs.adopt(request.session_hash or "", run)
        first = True
        for update in handlers.show(run, mine):
            yield (*(fill(asked) if first else skip), *update)
            first = False

    return open_link
