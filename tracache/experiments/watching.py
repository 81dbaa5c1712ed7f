"""Questions that one watched run answers: where features go, how fast, how well they are foretold.

Every function runs full compute once, or takes what it saw, and writes a figure and its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from tracache.caching.config import TraCacheConfig
from tracache.caching.pipeline import first_denoiser
from tracache.compare.arm import PUBLISHED, Setup
from tracache.compare.colours import ARMS, GREY, ORDERS
from tracache.compare.heatmap import row_name
from tracache.compare.request import Request
from tracache.compare.sampling import prepare, sample
from tracache.experiments.features import (
    Watched,
    interval_errors,
    principal_plane,
    project,
    replay,
    residuals,
    row_names,
    watch_features,
)
from tracache.experiments.output import write_csv, write_figure
from tracache.models.loading import LoadedModel

#: Way of putting features in place of computed ones → colour and marker.
WAYS = {
    "full compute": (GREY, "circle"),
    "reuse": (ORDERS[0].light, "square"),
    "TraCache": (ARMS[PUBLISHED], "diamond"),
}


def watch(model: LoadedModel, request: Request, blocks: Sequence[int], parts: bool) -> Watched:
    """Run full compute of a request once and keep the features of some blocks.

    Of several denoisers that take turns, the first's, at the steps that it takes.

    Parameters
    ----------
    model : LoadedModel
        Where the denoiser is.
    request : Request
        Prompt, seed, steps, guidance scale and scheduler.
    blocks : sequence of int
        From 0; negative ones from the end.
    parts : bool
        Whether to watch their attentions and MLPs too, as far as these are known.
    """
    denoiser = first_denoiser(model.pipe)
    inputs = prepare(
        model,
        [request.subject],
        [request.seed],
        request.guidance_scale,
        request.scheduler,
        request.size,
        request.negative_prompt,
    )
    with watch_features(denoiser, row_names(denoiser, blocks, parts)) as watched:
        sample(model, inputs, Setup(request.steps))
    return watched


def trajectories(watched: Watched, config: TraCacheConfig, folder: Path) -> list[dict[str, Any]]:
    """Write :func:`paths` as a figure and its numbers; return the distances."""
    figure, lines, errors = paths(watched, config)
    write_figure(figure, folder / "trajectories")
    write_csv(lines, folder / "trajectories.csv")
    write_csv(errors, folder / "trajectory_errors.csv")
    return errors


def paths(
    watched: Watched, config: TraCacheConfig
) -> tuple[go.Figure, list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw each row's path in its principal plane: full compute, reuse, TraCache (Fig. 2c, 4, 9).

    The plane is that of full compute; the two others are predicted along what full compute saw, so
    that only the prediction differs.

    Returns
    -------
    figure : plotly Figure
        A plane for each row.
    lines : list of dict
        Where each path is at each step.
    errors : list of dict
        The mean distance to full compute at skipped steps.
    """
    rows = list(watched.features)
    figure = make_subplots(
        rows=1,
        cols=len(rows),
        subplot_titles=[_title(row) for row in rows],
        horizontal_spacing=0.06,
    )
    lines, errors = [], []
    ways = {
        "full compute": replace(config, stride=1, full_steps=None),
        "reuse": replace(config, rule="reuse"),
        "TraCache": config,
    }
    for column, row in enumerate(rows, start=1):
        seen = watched.features[row]
        mean, axes, shares = principal_plane(seen)
        for way, settings in ways.items():
            path = replay(watched.timesteps, seen, settings)
            places = project(path.features, mean, axes).tolist()
            colour, symbol = WAYS[way]
            text = [_say(t, o) for t, o in zip(watched.timesteps, path.orders, strict=True)]
            figure.add_trace(
                go.Scatter(
                    x=[x for x, _ in places],
                    y=[y for _, y in places],
                    mode="lines+markers",
                    name=way,
                    text=text,
                    hovertemplate="%{text}<extra>" + way + "</extra>",
                    line={"color": colour, "width": 1.5 if way != "reuse" else 1},
                    marker={"symbol": symbol, "size": 7 if way != "full compute" else 10},
                    legendgroup=way,
                    showlegend=column == 1,
                ),
                row=1,
                col=column,
            )
            lines += [
                {
                    "row": _title(row),
                    "way": way,
                    "step": step,
                    "timestep": t,
                    "order": order,
                    "x": x,
                    "y": y,
                }
                for step, (t, order, (x, y)) in enumerate(
                    zip(watched.timesteps, path.orders, places, strict=True)
                )
            ]
            errors.append(_distance(row, way, path.orders, path.features, seen, shares))
        axis = {"row": 1, "col": column}
        figure.update_xaxes(title=f"first axis, {shares[0]:.0%} of the variance", **axis)
        figure.update_yaxes(title=f"second axis, {shares[1]:.0%}", **axis)
    figure.update_layout(
        template="plotly_white", width=max(520, 430 * len(rows)), height=480, margin={"t": 40}
    )
    return figure, lines, errors


def _distance(
    row: str,
    way: str,
    orders: Sequence[int],
    features: Sequence[torch.Tensor],
    seen: Sequence[torch.Tensor],
    shares: Sequence[float],
) -> dict[str, Any]:
    """Mean relative distance to full compute over the steps that were predicted."""
    away = [
        ((mine - true).norm() / true.norm()).item()
        for order, mine, true in zip(orders, features, seen, strict=True)
        if order >= 0
    ]
    return {
        "row": _title(row),
        "way": way,
        "predicted": len(away),
        "distance": fmean(away) if away else 0.0,
        "variance in the plane": sum(shares),
    }


def intervals(watched: Watched, most: int, folder: Path) -> list[dict[str, Any]]:
    """Draw how far features are from themselves some steps before (Table 5).

    Returns a row for each feature, interval and step: the mean squared difference.
    """
    figure = go.Figure()
    lines: list[dict[str, Any]] = []
    for row, seen in watched.features.items():
        for interval in range(1, most + 1):
            errors = interval_errors(seen, interval)
            lines += [
                {
                    "row": _title(row),
                    "interval": interval,
                    "step": step,
                    "timestep": watched.timesteps[step],
                    "mse": error,
                }
                for step, error in enumerate(errors, start=interval)
            ]
            if row == next(iter(watched.features)):
                figure.add_trace(
                    go.Scatter(
                        x=watched.timesteps[interval:],
                        y=errors,
                        mode="lines",
                        name=f"{interval} steps",
                        line={"color": ORDERS[(interval - 1) % len(ORDERS)].light},
                    )
                )
    figure.update_layout(
        template="plotly_white",
        xaxis={"title": "timestep, noisiest first", "autorange": "reversed"},
        yaxis={"title": "mean squared difference", "type": "log"},
        legend_title="interval",
        margin={"t": 20},
    )
    write_figure(figure, folder / "intervals")
    write_csv(lines, folder / "intervals.csv")
    return lines


def foresight(watched: Watched, config: TraCacheConfig, folder: Path) -> list[dict[str, Any]]:
    """Draw the spread that judges an order, and its true error, against the order (Fig. 7).

    Medians over the skipped steps of the first row, apart for steps where the feature changes
    rapidly and where it does not.
    """
    assert isinstance(config.stride, int)
    row, seen = next(iter(watched.features.items()))
    found = residuals(
        watched.timesteps, seen, config.stride, config.max_order, warmup=config.warmup
    )
    lines = []
    for rapid in (False, True):
        for order in range(1, config.max_order + 1):
            here = [r for r in found if r.order == order and r.rapid == rapid]
            if here:
                lines.append(
                    {
                        "region": "rapid" if rapid else "smooth",
                        "order": order,
                        "steps": len(here),
                        "spread": median(r.spread for r in here),
                        "error_of_lower": median(r.error_below for r in here),
                        "error": median(r.error for r in here),
                    }
                )
    regions = ("smooth", "rapid")
    titles = [f"{region} steps" for region in regions]
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, shared_yaxes=True)
    shown = {
        "spread": ("std(|φₙ − φₙ₋₁|)", GREY),
        "error_of_lower": ("true error of φₙ₋₁", ORDERS[0].light),
        "error": ("true error of φₙ", ORDERS[1].light),
    }
    for column, region in enumerate(regions, start=1):
        here_lines = [line for line in lines if line["region"] == region]
        for name, (title, colour) in shown.items():
            figure.add_trace(
                go.Scatter(
                    x=[line["order"] for line in here_lines],
                    y=[line[name] for line in here_lines],
                    mode="lines+markers",
                    name=title,
                    line={"color": colour},
                    legendgroup=name,
                    showlegend=column == 1,
                ),
                row=1,
                col=column,
            )
        figure.update_xaxes(title="order n", dtick=1, row=1, col=column)
    figure.update_yaxes(type="log", title="median over steps", row=1, col=1)
    figure.update_yaxes(type="log", row=1, col=2)
    figure.update_layout(template="plotly_white", margin={"t": 40})
    write_figure(figure, folder / "foresight")
    write_csv(lines, folder / "foresight.csv")
    write_csv([{"row": _title(row), **asdict(r)} for r in found], folder / "residuals.csv")
    return lines


def _title(row: str) -> str:
    return f"block {row_name(row)}"


def _say(timestep: float, order: int) -> str:
    return f"t = {timestep:.0f}, " + ("computed" if order < 0 else f"order {order}")
