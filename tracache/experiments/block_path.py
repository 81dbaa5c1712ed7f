"""The path of a block, foretold: how far off at each step, and where it should have been.

Predictions are not joined to one another. Of reuse that would draw full compute's own points again,
as if it never left its path, while each prediction of a better method would look like a detour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from tracache.caching.config import TraCacheConfig
from tracache.compare.arm import PUBLISHED
from tracache.compare.arms import ARMS
from tracache.compare.colours import ARMS as ARM_COLOURS
from tracache.compare.colours import COMPUTED_ANYWHERE, GREY, ORDERS
from tracache.compare.heatmap import order_name
from tracache.experiments.features import Watched, principal_plane, project, replay

REUSE, TITLE = "reuse", ARMS[PUBLISHED].title

#: Way → colour and marker.
_LOOKS = {REUSE: (ORDERS[0].light, "square"), TITLE: (ARM_COLOURS[PUBLISHED], "diamond")}


@dataclass(frozen=True)
class Foretold:
    """What a way puts in place of a block's output, step by step.

    Attributes
    ----------
    orders : tuple of int
        −1 where computed.
    errors : tuple of float
        ‖predicted − true‖ / ‖true‖; 0 where computed.
    places : Tensor [steps, 2]
        In the plane in which the true path varies most.
    """

    orders: tuple[int, ...]
    errors: tuple[float, ...]
    places: Tensor

    @property
    def mean_error(self) -> float | None:
        """Over the predicted steps; None where there are none."""
        away = [e for order, e in zip(self.orders, self.errors, strict=True) if order >= 0]
        return fmean(away) if away else None


def foretell(
    timesteps: Sequence[float], seen: Sequence[Tensor], config: TraCacheConfig
) -> tuple[Tensor, dict[str, Foretold], list[float]]:
    """Replay reuse and the published method over what full compute saw.

    Parameters
    ----------
    timesteps : sequence of float
        In denoising order.
    seen : sequence of Tensor
        The block's output at each of them.
    config : TraCacheConfig
        The published method's; reuse has its schedule.

    Returns
    -------
    path : Tensor [steps, 2]
        The true one, in the plane in which it varies most.
    ways : dict
        Way → what it foretells.
    shares : list of float
        Of the variance along either axis of the plane.
    """
    mean, axes, shares = principal_plane(seen)
    ways = {}
    for way, settings in {REUSE: replace(config, rule="reuse"), TITLE: config}.items():
        found = replay(timesteps, seen, settings)
        errors = [
            ((mine - true).norm() / true.norm().clamp_min(1e-12)).item()
            for mine, true in zip(found.features, seen, strict=True)
        ]
        places = project(found.features, mean, axes)
        ways[way] = Foretold(tuple(found.orders), tuple(errors), places)
    return project(seen, mean, axes), ways, shares


def block_path(watched: Watched, config: TraCacheConfig) -> tuple[go.Figure, dict[str, float]]:
    """Draw the first watched row: the error of each way over the steps, and both paths.

    Returns
    -------
    figure : plotly Figure
        Above the errors, below the plane.
    away : dict
        Way → its mean error where it predicts; empty where nothing is predicted.
    """
    seen = next(iter(watched.features.values()))
    path, ways, shares = foretell(watched.timesteps, seen, config)
    figure = make_subplots(rows=2, cols=1, row_heights=[0.4, 0.6], vertical_spacing=0.16)
    computed = [step for step, order in enumerate(ways[TITLE].orders) if order < 0]
    steps = list(range(1, len(seen) + 1))
    figure.add_trace(_line(steps, [0.0] * len(seen), "full compute", GREY), row=1, col=1)
    for way, found in ways.items():
        figure.add_trace(_errors(way, found, watched.timesteps), row=1, col=1)
    at = [step + 1 for step in computed]
    figure.add_trace(_computed(at, [0.0] * len(at), True), row=1, col=1)

    x, y = path.T.tolist()
    figure.add_trace(_line(x, y, "full compute", GREY, shown=False), row=2, col=1)
    for way, found in ways.items():
        for trace in _predictions(way, found, path, watched.timesteps):
            figure.add_trace(trace, row=2, col=1)
    figure.add_trace(_computed([x[i] for i in computed], [y[i] for i in computed]), row=2, col=1)
    figure.update_xaxes(title="step", row=1, col=1)
    figure.update_yaxes(title="error", tickformat=".0%", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title=f"first axis, {shares[0]:.0%} of the variance", row=2, col=1)
    figure.update_yaxes(title=f"second axis, {shares[1]:.0%}", row=2, col=1)
    away = {way: found.mean_error for way, found in ways.items()}
    return figure, {way: mean for way, mean in away.items() if mean is not None}


def _line(
    x: Sequence[float], y: Sequence[float], name: str, colour: str, shown: bool = True
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=name,
        line={"color": colour, "width": 3},
        legendgroup=name,
        showlegend=shown,
        hoverinfo="skip",
    )


def _computed(x: Sequence[float], y: Sequence[float], shown: bool = False) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name="computed",
        marker={"color": COMPUTED_ANYWHERE, "size": 8},
        legendgroup="computed",
        showlegend=shown,
        hoverinfo="skip",
    )


def _errors(way: str, found: Foretold, timesteps: Sequence[float]) -> go.Scatter:
    """Error over the steps: back at zero wherever a step computes."""
    colour, symbol = _LOOKS[way]
    predicted = [order >= 0 for order in found.orders]
    return go.Scatter(
        x=list(range(1, len(predicted) + 1)),
        y=found.errors,
        mode="lines+markers",
        name=way,
        text=_texts(found, timesteps),
        hovertemplate=f"{way}<br>%{{text}}: %{{y:.1%}}<extra></extra>",
        line={"color": colour, "width": 1.5},
        marker={"symbol": symbol, "size": [7 if here else 0 for here in predicted]},
        legendgroup=way,
    )


def _predictions(
    way: str, found: Foretold, path: Tensor, timesteps: Sequence[float]
) -> tuple[go.Scatter, go.Scatter]:
    """Each prediction, and a thread from it to where full compute was at the same step."""
    colour, symbol = _LOOKS[way]
    at = [step for step, order in enumerate(found.orders) if order >= 0]
    threads: list[list[float | None]] = [[], []]
    for step in at:
        for axis in range(2):
            threads[axis] += [path[step, axis].item(), found.places[step, axis].item(), None]
    texts = _texts(found, timesteps)
    places = found.places[at] if at else torch.empty(0, 2)
    points = go.Scatter(
        x=places[:, 0].tolist(),
        y=places[:, 1].tolist(),
        mode="markers",
        name=way,
        text=[texts[step] for step in at],
        hovertemplate=f"{way}<br>%{{text}}<extra></extra>",
        marker={"symbol": symbol, "size": 8, "color": colour},
        legendgroup=way,
        showlegend=False,
    )
    lines = go.Scatter(
        x=threads[0],
        y=threads[1],
        mode="lines",
        line={"color": colour, "width": 1, "dash": "dot"},
        legendgroup=way,
        showlegend=False,
        hoverinfo="skip",
    )
    return lines, points


def _texts(found: Foretold, timesteps: Sequence[float]) -> list[str]:
    return [
        f"step {step + 1}, timestep {t:.4g}, {order_name(order)}"
        for step, (t, order) in enumerate(zip(timesteps, found.orders, strict=True))
    ]
