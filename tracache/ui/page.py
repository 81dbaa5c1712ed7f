"""The page: what stands where, and which handler serves it."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from tracache.serving.backend import Backend
from tracache.settings import Settings
from tracache.ui.afresh import QUIET, follow_choice
from tracache.ui.api import add_api
from tracache.ui.controls import add_controls
from tracache.ui.gate.share import RUN
from tracache.ui.handlers import Handlers
from tracache.ui.how_page import add_how
from tracache.ui.jobs import Jobs
from tracache.ui.league_page import add_league
from tracache.ui.links import link_outputs, opener
from tracache.ui.manual_page import add_manual
from tracache.ui.offer import offered
from tracache.ui.prometheus import Metrics
from tracache.ui.runs import run_on_request
from tracache.ui.sweep_page import add_sweep
from tracache.ui.views.notes import EMPTY_HEATMAP, said
from tracache.ui.views.progress import EMPTY_STATUS
from tracache.ui.widgets.cards import add_cards
from tracache.ui.widgets.examples import first_look
from tracache.ui.widgets.front import add_front
from tracache.ui.widgets.heatmap import add_heatmap
from tracache.ui.widgets.inspector import add_inspector
from tracache.ui.widgets.scrubber import add_scrubber
from tracache.ui.widgets.share import add_share
from tracache.ui.widgets.viewer import add_viewer

INTRO = """<h1>TraCache</h1>
<p>A diffusion model draws in many steps. Skip most of them, carry on what the model would have
said, and see on the same prompt and noise what that saves, what it changes, and where it
breaks.</p>"""

READING = """As published, the order is chosen where the residual |φₙ − φₙ₋₁| of two neighbouring
polynomials spreads least. That residual estimates the error of the lower one, which is therefore
taken: on the embedded model it stays nearer to full compute than φₙ, the other reading of Eq. 7."""

PATH = """Where a block's output goes from step to step, and how far from there reuse and the
method as published would put it. Runs full compute once more, untimed."""


def build_page(
    settings: Settings,
    backend: Backend,
    metrics: Metrics | None = None,
    jobs: Jobs | None = None,
) -> gr.Blocks:
    """Build the page; a model that cannot be loaded is said on it, not raised.

    Parameters
    ----------
    settings : Settings
        Of the process.
    backend : Backend
        Does the work.
    metrics : Metrics, optional
        Hears of every job that ends.
    jobs : Jobs, optional
        Under way and done; the page's own if not given.
    """
    handlers = Handlers(settings, backend, metrics, jobs)
    # As many runs at once as there are devices, whoever asks for them.
    turns: dict[str, Any] = {"concurrency_id": RUN, "concurrency_limit": backend.at_once}
    with gr.Blocks(title="TraCache", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        _add_compare(page, handlers, settings, turns)
        if settings.api:
            # Out of sight, so that a browser need not mount what programs alone call.
            with gr.Column(visible=False):
                add_api(handlers, settings, **turns)
    with page.route("Sweep", "/sweep"):
        gr.Navbar(main_page_name="Compare")
        add_sweep(handlers, settings, **turns)
    with page.route("League", "/league"):
        gr.Navbar(main_page_name="Compare")
        add_league(page, settings)
    with page.route("How it works", "/how"):
        gr.Navbar(main_page_name="Compare")
        add_how()
    with page.route("Manual", "/manual"):
        gr.Navbar(main_page_name="Compare")
        add_manual()
    return page


def _add_compare(
    page: gr.Blocks, handlers: Handlers, settings: Settings, turns: dict[str, Any]
) -> None:
    """The front page."""
    gr.Navbar(main_page_name="Compare")
    # HTML throughout: what renders Markdown is a twelfth of all that a browser would load.
    banner = _banner(handlers.backend, offered(settings)[0].id)
    gr.HTML(INTRO + banner, padding=False, elem_id="intro")
    cards = add_cards(settings)
    with gr.Row(elem_classes="tc-main"):
        with gr.Column(scale=4, min_width=300, elem_classes="tc-side"):
            controls = add_controls(offered(settings)[0], settings, handlers.backend)
        with gr.Column(scale=7, min_width=300, elem_classes="tc-side"):
            outputs, draw, path_text = _results(settings)
    outputs |= {"mine": gr.State([]), "current": gr.State(""), "seed": controls.inputs["seed"]}
    results = list(outputs.values())
    follow_choice(controls.subject, outputs, settings)
    run_on_request(handlers, controls, cards, outputs, settings, turns)
    draw.click(
        handlers.draw_path,
        [outputs["current"], outputs["path_block"]],
        [outputs["path"], path_text],
        api_visibility="private",
        **turns,
    )
    address = add_front()
    address.submit(
        opener(handlers, controls, outputs, settings),
        [address, outputs["mine"]],
        list(dict.fromkeys([*link_outputs(controls), *results])),
        # Those who only look on do not wait for those who run.
        concurrency_limit=16,
        **QUIET,
    )
    page.unload(handlers.leave)


def _banner(backend: Backend, first: str) -> str:
    """Say what the page runs on, or why its first model cannot run."""
    about = backend.introduce()
    if why_not := backend.why_unavailable(first):
        return f'<p class="tc-banner tc-bad" role="alert">{escape(why_not)}</p>'
    devices = f"{backend.at_once} × " if backend.at_once > 1 else ""
    timings = "The timings below are its own."
    if devices and about.device.startswith("CPU"):
        timings = "Runs share the processor, so the timings below are rough where others run."
    return (
        f'<p class="tc-banner">Runs on <b>{devices}{escape(about.device)}</b>, {about.dtype}. '
        f"{timings}</p>"
    )


def _results(settings: Settings) -> tuple[dict[str, Any], gr.Button, gr.HTML]:
    """Lay out the right column: what a job shows, by name, and what draws a block's path."""
    with gr.Column(elem_classes="tc-result"):
        headline = gr.HTML("", padding=False, elem_id="headline")
        viewer = add_viewer(first_look(offered(settings)[0], settings))
        status = gr.HTML(EMPTY_STATUS, padding=False, elem_id="status")
        beside = gr.HTML("", padding=False, elem_id="beside")
        scrubber = add_scrubber()
    with gr.Column(elem_classes="tc-rest"):
        found, draw, path_text = _figures()
    shown = {"status": status, "headline": headline, "viewer": viewer, "beside": beside}
    shown["scrubber"] = scrubber
    return {**shown, **found}, draw, path_text


def _figures() -> tuple[dict[str, Any], gr.Button, gr.HTML]:
    """Lay out what there is to know of a job below its pictures."""
    filmstrip = gr.HTML(padding=False, elem_id="filmstrip")
    frames = gr.Plot(show_label=False, visible=False, elem_id="frames")
    table = gr.HTML(padding=False, elem_id="figures")
    share = add_share()
    heatmap = add_heatmap()
    heatmap_text = gr.HTML(said(EMPTY_HEATMAP), padding=False, elem_id="heatmap-text")
    inspector = add_inspector()
    with gr.Accordion("The path of a block", open=False):
        gr.HTML(said(PATH), padding=False, elem_classes="tc-quiet")
        with gr.Row():
            path_block = gr.Dropdown([], label="Block", interactive=True, min_width=140)
            draw = gr.Button("Draw its path", min_width=140, elem_id="draw-path")
        path = gr.Plot(show_label=False, visible=False, elem_id="path")
        path_text = gr.HTML(padding=False, elem_id="path-text", elem_classes="tc-quiet")
    gr.HTML(said(READING), padding=False, elem_classes="tc-quiet")
    gallery = gr.HTML(padding=False, elem_id="gallery")
    outputs = {
        "filmstrip": filmstrip,
        "frames": frames,
        "table": table,
        "share": share,
        "heatmap": heatmap,
        "heatmap_text": heatmap_text,
        "inspector": inspector,
        "path_block": path_block,
        "path": path,
        "gallery": gallery,
    }
    return outputs, draw, path_text
