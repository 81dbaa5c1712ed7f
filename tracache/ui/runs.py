"""What begins a run, shows its plan, asks for its cost, and stops it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from tracache.settings import Settings
from tracache.ui.controls import Controls
from tracache.ui.handlers import Handlers
from tracache.ui.links import fill_page, link_outputs
from tracache.ui.setting_controls import QUIET

#: Settings that change nothing of which steps compute.
UNSEEN = ("prompt", "class_label", "seed", "randomise", "reuse_baseline", "also")


def run_on_request(
    handlers: Handlers,
    controls: Controls,
    cards: gr.HTML,
    outputs: Mapping[str, Any],
    settings: Settings,
    turns: Mapping[str, Any],
) -> None:
    """Let Generate, Enter and the cards begin a run, and the controls show what it will be.

    Parameters
    ----------
    handlers : Handlers
        Of the page.
    controls, cards : Controls, gr.HTML
        What is pressed, and what holds the settings.
    outputs : mapping
        Components of what a job shows, by name.
    settings : Settings
        Of the process.
    turns : mapping
        For events that need the device: how many at once.
    """
    names, inputs = list(controls.inputs), list(controls.inputs.values())
    _begin(handlers, controls, cards, outputs, settings, turns)
    controls.cost.click(
        lambda *values: handlers.estimate(dict(zip(names, values, strict=True))),
        inputs,
        controls.cost_text,
        show_progress="minimal",
        api_visibility="private",
        # Counting beside a run would take from what is being timed.
        **turns,
    )

    def plan(*values: Any) -> str:
        return handlers.plan(dict(zip(names, values, strict=True)))

    # The first is drawn with the page: whoever opens it waits for no answer.
    controls.plan.value = plan(*(control.value for control in inputs))
    gr.on(
        [c.change for name, c in controls.inputs.items() if name not in UNSEEN],
        plan,
        inputs,
        controls.plan,
        trigger_mode="always_last",
        concurrency_limit=16,
        # A model that is chosen brings other bounds: what is still on its way is no mistake.
        preprocess=False,
        **QUIET,
    )
    controls.stop.click(handlers.stop, outputs["current"], controls.stop_text, queue=False, **QUIET)
    controls.generate.click(
        lambda: gr.update(visible=False), None, controls.stop_text, queue=False, **QUIET
    )


def _begin(
    handlers: Handlers,
    controls: Controls,
    cards: gr.HTML,
    outputs: Mapping[str, Any],
    settings: Settings,
    turns: Mapping[str, Any],
) -> None:
    names, results = list(controls.inputs), list(outputs.values())

    def generate(http: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
        *given, mine = values
        for changes in handlers.generate(dict(zip(names, given, strict=True)), mine, http):
            yield {outputs[name]: value for name, value in changes.items()}

    def try_card(
        event: gr.EventData, http: gr.Request, mine: list[str]
    ) -> Iterator[dict[Any, Any]]:
        for request, changes in handlers.try_card(event._data, mine, http):
            filled = fill_page(request, controls, settings, handlers.backend) if request else {}
            yield filled | {outputs[name]: value for name, value in changes.items()}

    shown: dict[str, Any] = {
        # Shows the place in the queue where others run.
        "show_progress": "minimal",
        "show_progress_on": [outputs["status"]],
        "api_visibility": "private",
        # What is asked for meanwhile is what is wanted: it comes next, and ends what runs.
        "trigger_mode": "always_last",
    }
    everything = list(dict.fromkeys([*link_outputs(controls), *results]))
    cards.select(try_card, outputs["mine"], everything, **shown, **turns)
    gr.on(
        [controls.generate.click, controls.inputs["prompt"].submit],
        generate,
        [*controls.inputs.values(), outputs["mine"]],
        results,
        **shown,
        **turns,
    )
