"""The route that explains the method: a curve to play with, and the rule's choices."""

from __future__ import annotations

from importlib.resources import files
from statistics import fmean

import gradio as gr
import numpy as np
import torch

from tracache.caching.rules.trajectory import Trajectory, choose_order
from tracache.ui.widgets.forecast import add_forecast

#: The texts before, between and after the curve and the chart.
TEXTS = (files("tracache.ui") / "how.md").read_text("utf-8").split("<!-- figure -->")

LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]

#: Steps of the toy run, and how many of them apart those are that compute.
_STEPS, _STRIDE = 26, 5
_ORDERS = (0, 1, 2, 3)


def add_how() -> None:
    """Lay out the route."""
    with gr.Column(elem_classes="tc-prose"):
        gr.Markdown(TEXTS[0], latex_delimiters=LATEX)
        add_forecast()
        gr.Markdown(TEXTS[1], latex_delimiters=LATEX)
        gr.HTML(choice_chart(), padding=False, elem_id="how-choice")
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


def toy_errors() -> dict[int, tuple[float, int]]:
    """Return (error, order) of what the rule chose at each skipped step.

    The error is a share of the feature's mean size, since the feature crosses zero on its way.
    """
    truth = [toy_feature(t) for t in toy_times()]
    size = fmean(feature.norm().item() for feature in truth)
    return {
        step: ((known[chosen] - truth[step]).norm().item() / size, chosen)
        for step, known, chosen in toy_predictions()
    }


def choice_chart() -> str:
    """Draw the errors as bars over the strip of steps, in the colours of the orders chosen."""
    errors = toy_errors()
    most = max(error for error, _ in errors.values())
    bars = "".join(_bar(step, errors, most) for step in range(_STEPS))
    used = sorted({order for _, order in errors.values()})
    legend = "".join(f'<li><i class="tch-order-{n}"></i>order {n} chosen</li>' for n in used)
    said = ", ".join(
        f"order {n} at {sum(order == n for _, order in errors.values())}" for n in used
    )
    return (
        f'<ul class="tch-legend"><li><i class="tch-computed"></i>computed</li>{legend}</ul>'
        f'<div class="tc-bars" role="img" aria-label="Error at {len(errors)} skipped '
        f'steps, at most {most:.0%}; chosen: {said}">{bars}</div>'
        '<p class="tc-quiet">from noise (left) to picture; the highest bar is an error of '
        f"{most:.0%}</p>"
    )


def _bar(step: int, errors: dict[int, tuple[float, int]], most: float) -> str:
    if step not in errors:
        return '<i class="tch-computed"></i>'
    error, order = errors[step]
    return f'<i class="tch-order-{order}" style="height: {100 * error / most:.1f}%"></i>'
