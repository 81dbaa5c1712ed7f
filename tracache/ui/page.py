"""The page: what stands where, and which handler serves it."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from tracache.models.loading import ModelUnavailableError, load_model
from tracache.models.registry import DEFAULT_MODEL, find_model
from tracache.models.vocabulary import Vocabulary
from tracache.settings import Settings
from tracache.ui.asking import as_endpoint
from tracache.ui.controls import add_controls
from tracache.ui.handlers import OUTPUTS, Handlers
from tracache.ui.views import EMPTY_STATUS

INTRO = """# TraCache
The same prompt and the same noise: full computation, and the same transformer with most steps
skipped, their features extrapolated along their trajectory. See what it saves, what it changes,
and which order it chose at every block and timestep."""

READING = """The order is chosen where the residual |φₙ − φₙ₋₁| of two neighbouring polynomials
spreads least. That residual estimates the error of the lower one, which is therefore taken: on
this model it stays nearer to full compute than φₙ, the other reading of the paper's Eq. 7."""


def build_page(settings: Settings) -> gr.Blocks:
    """Build the page; a model that cannot be loaded is said on it, not raised.

    Parameters
    ----------
    settings : Settings
        Of the process.
    """
    handlers = Handlers(settings)
    spec = find_model(DEFAULT_MODEL)
    vocabulary = Vocabulary.load(settings.assets / spec.source)
    with gr.Blocks(title="TraCache", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown(INTRO)
        gr.HTML(_banner(settings), padding=False)
        with gr.Row(elem_classes="tc-main"):
            with gr.Column(scale=4, min_width=300):
                controls = add_controls(spec, vocabulary)
            with gr.Column(scale=7, min_width=300):
                outputs = _results()
        inputs = {name: control.component for name, control in controls.inputs.items()}
        outputs["seed"] = inputs["seed"]
        inputs["fewer_steps"].change(
            lambda wanted: gr.update(visible=wanted),
            inputs["fewer_steps"],
            outputs["extra_image"],
            show_progress="hidden",
            api_visibility="private",
        )
        press = {
            "fn": as_endpoint(handlers.generate, controls.inputs),
            "inputs": list(inputs.values()),
            "outputs": [outputs[name] for name in OUTPUTS],
            # Shows the place in the queue where others run.
            "show_progress": "minimal",
            "show_progress_on": [outputs["status"]],
            "concurrency_id": "run",
            "concurrency_limit": 1,
        }
        gr.on([controls.generate.click, inputs["prompt"].submit], **press, api_name="compare")
        controls.stop.click(
            handlers.stop, queue=False, show_progress="hidden", api_visibility="private"
        )
        page.unload(handlers.leave)
    return page


def _banner(settings: Settings) -> str:
    """Say what the page runs on, or why its model cannot run."""
    try:
        model = load_model(DEFAULT_MODEL, settings)
    except (ModelUnavailableError, ValueError) as error:
        return f'<p class="tc-banner tc-bad" role="alert">{escape(str(error))}</p>'
    return (
        f'<p class="tc-banner">Runs on <b>{escape(model.device_name)}</b>, {model.dtype_name}. '
        "The timings below are its own.</p>"
    )


def _results() -> dict[str, Any]:
    """Lay out the right column; keys as in ``OUTPUTS``."""
    status = gr.HTML(EMPTY_STATUS, padding=False, elem_id="status")
    headline = gr.Markdown(elem_id="headline")
    with gr.Row():
        full_image = _picture("Full compute", "The image of full compute", "full")
        arm_image = _picture("Accelerated", "The image of the accelerated arm", "accelerated")
        extra_image = _picture("Fewer steps", "The image of fewer steps", "extra")
        extra_image.visible = False  # shown by the tick that asks for it
    with gr.Accordion("One over the other: drag the handle", open=True):
        slider = gr.ImageSlider(
            show_label=False,
            type="pil",
            format="png",
            interactive=False,
            elem_id="slider",
        )
    table = gr.HTML(padding=False, elem_id="figures")
    gr.Markdown("### Which order it chose")
    heatmap = gr.Plot(show_label=False, elem_id="heatmap")
    heatmap_text = gr.Markdown(
        "Rows are blocks, columns are timesteps. Drawn after a run, from a second one that is "
        "not timed.",
        elem_id="heatmap-text",
    )
    gr.Markdown(READING, elem_classes="tc-quiet")
    return {
        "status": status,
        "headline": headline,
        "full_image": full_image,
        "arm_image": arm_image,
        "extra_image": extra_image,
        "slider": slider,
        "table": table,
        "heatmap": heatmap,
        "heatmap_text": heatmap_text,
    }


def _picture(label: str, alt: str, elem_id: str) -> gr.Image:
    return gr.Image(
        label=label,
        alt_text=alt,
        type="pil",
        format="png",
        interactive=False,
        min_width=140,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes="tc-picture",
    )
