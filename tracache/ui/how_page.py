"""The route that explains the method, with figures computed by the project's own code."""

from __future__ import annotations

from importlib.resources import files

import gradio as gr
import numpy as np
import plotly.graph_objects as go
import torch

from tracache.caching.trajectory import Trajectory, choose_order
from tracache.compare.colours import GREY, ORDERS

#: The texts before, between and after the two figures.
TEXTS = (files("tracache.ui") / "how.md").read_text("utf-8").split("<!-- figure -->")

LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]

#: Steps of the toy run, and how many of them apart those are that compute.
_STEPS, _STRIDE = 26, 5
_ORDERS = (0, 1, 2, 3)
_DASHES = ("dot", "solid", "dash", "dashdot")


def add_how() -> None:
    """Lay out the route."""
    with gr.Column(elem_classes="tc-prose"):
        gr.Markdown(TEXTS[0], latex_delimiters=LATEX)
        gr.Plot(curve_figure(), show_label=False, elem_id="how-curve")
        gr.Markdown(
            "Figure: a turning curve (grey), its computed points (dots), and where each order goes "
            "from there over the next steps.",
            elem_classes="tc-quiet",
        )
        gr.Markdown(TEXTS[1], latex_delimiters=LATEX)
        gr.Plot(choice_figure(), show_label=False, elem_id="how-choice")
        gr.Markdown(
            "Figure: the same curve, at its own error for each skipped step, with the order that "
            "the rule chose as colour.",
            elem_classes="tc-quiet",
        )
        gr.Markdown(TEXTS[2], latex_delimiters=LATEX)


def toy_feature(t: float) -> torch.Tensor:
    """A feature of a few hundred elements that turns early and runs straight later."""
    phase = torch.linspace(0, 1, 256)
    turn = torch.sin(3.2 * (1 - t) + phase) * torch.exp(torch.tensor(1.6 * (t - 1)))
    return (turn + 0.6 * (1 - t) * (phase - 0.2)).unsqueeze(0)


def toy_times() -> list[float]:
    """Times of the toy run, from noise (1) to picture (0)."""
    return np.linspace(1, 0, _STEPS).tolist()


def toy_predictions() -> list[tuple[int, dict[int, torch.Tensor], int]]:
    """Return (step, prediction by order, order chosen) for each skipped step of the toy run."""
    trajectory = Trajectory(max(_ORDERS))
    found = []
    for step, t in enumerate(toy_times()):
        if step % _STRIDE == 0:
            trajectory.observe(t, toy_feature(t))
            continue
        known = {n: trajectory.predict(t, n) for n in _ORDERS if n <= trajectory.order}
        chosen = int(choose_order(trajectory.spreads, trajectory.factors(t), False))
        found.append((step, known, chosen))
    return found


def curve_figure() -> go.Figure:
    """Draw one element of the toy feature and what each order makes of it after a computed step."""
    element, at = 128, 3 * _STRIDE
    times = toy_times()
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=times,
            y=[toy_feature(t)[0, element].item() for t in times],
            mode="lines",
            line={"color": GREY, "width": 5},
            name="the feature",
            hoverinfo="skip",
        )
    )
    for order in _ORDERS:
        points = [
            (times[step], known[order][0, element].item())
            for step, known, _ in toy_predictions()
            if at < step < at + 2 * _STRIDE and order in known and step < at + _STRIDE
        ]
        start = (times[at], toy_feature(times[at])[0, element].item())
        figure.add_trace(
            go.Scatter(
                x=[x for x, _ in (start, *points)],
                y=[y for _, y in (start, *points)],
                mode="lines+markers",
                marker={"size": 5},
                line={
                    "color": ORDERS[order].light,
                    "dash": ("dot", "solid", "dash", "dashdot")[order],
                },
                name=f"order {order}",
            )
        )
    computed = times[: at + 1 : _STRIDE]
    figure.add_trace(
        go.Scatter(
            x=computed,
            y=[toy_feature(t)[0, element].item() for t in computed],
            mode="markers",
            marker={"size": 11, "color": "#5f6368"},
            name="computed",
        )
    )
    return _dress(figure, "one element of the feature")


def choice_figure() -> go.Figure:
    """Draw the error of what the rule chose at each skipped step, in the colour of its order."""
    times = toy_times()
    figure = go.Figure()
    for order in _ORDERS:
        chosen = [(step, known) for step, known, pick in toy_predictions() if pick == order]
        if not chosen:
            continue
        errors = [
            (
                (known[order] - toy_feature(times[step])).norm() / toy_feature(times[step]).norm()
            ).item()
            for step, known in chosen
        ]
        figure.add_trace(
            go.Bar(
                x=[times[step] for step, _ in chosen],
                y=errors,
                width=0.6 / _STEPS,
                marker={"color": ORDERS[order].light},
                name=f"order {order} chosen",
                hovertemplate="relative error %{y:.3f}<extra></extra>",
            )
        )
    return _dress(figure, "relative error")


def _dress(figure: go.Figure, what: str) -> go.Figure:
    grid = "rgba(128,134,139,0.25)"
    figure.update_layout(
        height=330,
        margin={"l": 52, "r": 12, "t": 30, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY, "size": 12},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        dragmode=False,
        xaxis={
            "title": "timestep, from noise to picture",
            "autorange": "reversed",
            "gridcolor": grid,
            "zeroline": False,
        },
        yaxis={"title": what, "gridcolor": grid, "zeroline": False},
    )
    return figure
