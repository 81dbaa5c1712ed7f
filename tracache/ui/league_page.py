"""The route of the league: everybody at equal computed steps, as it was recorded."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from tracache.experiments.league.kept import League, kept_leagues
from tracache.experiments.league.questions import QUESTIONS, figure_of
from tracache.models.registry import MODELS
from tracache.settings import Settings
from tracache.ui.numbers import whole
from tracache.ui.views.league import EMPTY, league_answer, league_table
from tracache.ui.widgets.league import add_league_table

ABOUT = """Every method that can be had here, at the same number of computed steps, on the same
held-out prompts and noise: who is nearest to full compute, and how sure is that? Press a column to
sort by it, a method to see its pictures. Recorded beforehand; nothing runs here."""


def add_league(page: gr.Blocks, settings: Settings) -> None:
    """Lay out the route; what it shows is read once somebody opens it."""
    gr.Markdown(f"# League\n{ABOUT}")
    with gr.Row(visible=False) as row:
        model = gr.Dropdown([], label="Model", interactive=True, min_width=280)
        steps = gr.Dropdown([], label="Steps", interactive=True, min_width=110)
        budget = gr.Dropdown([], label="Computed steps", interactive=True, min_width=110)
    table = add_league_table()
    outputs: dict[str, Any] = {
        "row": row,
        "model": model,
        "steps": steps,
        "budget": budget,
        "table": table,
    }
    for axis in QUESTIONS:
        outputs[f"{axis}-text"] = gr.HTML("", padding=False, elem_id=f"league-{axis}")
        outputs[axis] = gr.Plot(show_label=False, visible=False, elem_id=f"league-{axis}-plot")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def show(*chosen: Any) -> dict[Any, Any]:
        return {outputs[name]: value for name, value in show_league(settings, *chosen).items()}

    every = list(outputs.values())
    # Nothing of it is in the page itself, which every route loads.
    page.load(show, None, every, **quiet)
    model.input(show, model, every, **quiet)
    steps.input(show, [model, steps], every, **quiet)
    budget.input(show, [model, steps, budget], every, **quiet)


def show_league(
    settings: Settings, model: Any = None, steps: Any = None, budget: Any = None
) -> dict[str, Any]:
    """Return what the route shows, by name.

    Parameters
    ----------
    settings : Settings
        Say where the assets are.
    model, steps, budget
        What was chosen; whatever was not recorded becomes the first that was.
    """
    try:
        leagues = kept_leagues(settings.assets)
    except ValueError as error:
        return {"table": f'<p class="tc-bad" role="alert">{escape(str(error))}</p>'}
    leagues = {name: leagues[name] for name in MODELS if name in leagues}
    if not leagues:
        return {"table": EMPTY}
    chosen = model if isinstance(model, str) and model in leagues else next(iter(leagues))
    of_model = leagues[chosen]
    # A model's own number of steps, unless another is asked for.
    usual = MODELS[chosen].steps
    asked = (whole(steps), usual, *of_model)
    league = of_model[next(number for number in asked if number in of_model)]
    computed = whole(budget) if whole(budget) in league.budgets else league.budgets[0]
    return {
        "row": gr.update(visible=True),
        "model": gr.update(choices=[(MODELS[name].title, name) for name in leagues], value=chosen),
        "steps": gr.update(choices=list(of_model), value=league.steps),
        "budget": gr.update(choices=league.budgets, value=computed),
        "table": league_table(league, computed),
        **_answers(league),
    }


def _answers(league: League) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for axis in QUESTIONS:
        figure = figure_of(league.rows, axis, league.steps, legend=False)
        shown[f"{axis}-text"] = league_answer(league, axis)
        shown[axis] = gr.update(value=figure, visible=figure is not None)
    return shown
