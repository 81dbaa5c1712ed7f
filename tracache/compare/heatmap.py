"""A trace as a heatmap, and as words for those who cannot see it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import plotly.graph_objects as go

from tracache.caching.trace import COMPUTED, PARTIAL, UNTRACED, Trace
from tracache.compare import colours
from tracache.compare.words import join

_CODE_NAMES = {COMPUTED: "computed", UNTRACED: "not watched", PARTIAL: "computed in part"}

#: As a file of its own, the figure is on a light page.
_CODE_COLOURS = {
    COMPUTED: colours.COMPUTED.light,
    UNTRACED: "rgba(0,0,0,0)",
    PARTIAL: colours.PARTIAL.light,
}

#: Names of a block's parts, for people.
PARTS = {"attn1": "self-attention", "attn2": "cross-attention", "ff": "MLP"}


#: Row of what is extrapolated at the scheduler, after those of the blocks, if these are watched.
PREDICTION = "prediction"


def order_name(order: int) -> str:
    """Return a cell's value in words."""
    if order in _CODE_NAMES:
        return _CODE_NAMES[order]
    return "order 0 (reuse)" if order == 0 else f"order {order}"


def row_name(label: str) -> str:
    """Return what a row is about in words, counting blocks from 1."""
    if label == PREDICTION:
        return label
    block, *words = label.split(" ")
    # A block that was found goes by its path.
    stack, _, index = block.rpartition(".")
    number = str(int(index) + 1)
    return " ".join(filter(None, [stack, number, *(PARTS.get(word, word) for word in words)]))


def has_parts(trace: Trace) -> bool:
    """Whether parts of blocks are rows, so that no one row makes the picture."""
    return any(word in PARTS for label in trace.labels for word in label.split())


def order_heatmap(trace: Trace) -> go.Figure:
    """Draw the order of every block, or part of one, at every timestep.

    Rows are blocks or their parts, with the one that makes the image on top: the last block, or
    the prediction that the scheduler is handed. Columns are the steps in denoising order, noisiest
    first.

    Parameters
    ----------
    trace : Trace
        Of a run, best with every block watched.
    """
    orders = trace.orders
    values = sorted(set(orders.ravel().tolist()))
    steps = [f"{i + 1}" for i in range(len(trace))]
    blocks = [row_name(label) for label in trace.labels]
    figure, spreads = go.Figure(), _spread_texts(trace)
    for value in values:
        figure.add_trace(_layer(trace, orders, value, steps, blocks, spreads))
        # A heatmap has no legend entry, so an empty trace of the same colour stands in.
        figure.add_trace(_legend_entry(value))
    _mark_computed(figure, trace, steps, blocks)
    _mark_last(figure, trace)
    _lay_out(figure, trace, steps)
    return figure


def _spread_texts(trace: Trace) -> np.ndarray:
    """What the candidates of each cell were judged by, in words: [labels, steps]."""
    spreads = trace.spreads
    texts = np.full((len(trace.labels), len(trace)), "", dtype=object)
    for step, row in np.argwhere(~np.isnan(spreads).all(axis=2)):
        texts[row, step] = "".join(
            f"<br>spread of φ{n} − φ{n - 1}: {value:.3g}"
            for n, value in enumerate(spreads[step, row], start=1)
            if not np.isnan(value)
        )
    return texts


def _layer(
    trace: Trace,
    orders: np.ndarray,
    value: int,
    steps: list[str],
    blocks: list[str],
    spreads: np.ndarray,
) -> go.Heatmap:
    """All cells of one value, in its colour."""
    cells = np.where(value == orders.T, 1.0, np.nan)
    colour = _colour(value)
    timesteps = np.tile(trace.timesteps, (len(trace.labels), 1))
    rows = [name if name == PREDICTION else f"block {name}" for name in blocks]
    names = np.tile(np.array(rows, dtype=object)[:, None], (1, len(trace)))
    return go.Heatmap(
        z=cells,
        x=steps,
        y=blocks,
        customdata=np.stack([timesteps.astype(object), spreads, names], axis=-1),
        colorscale=[[0, colour], [1, colour]],
        showscale=False,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate=(
            f"%{{customdata[2]}}, step %{{x}}<br>timestep %{{customdata[0]:.6~g}}<br>"
            f"<b>{order_name(value)}</b>%{{customdata[1]}}<extra></extra>"
        ),
    )


def _legend_entry(value: int) -> go.Scatter:
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"size": 12, "symbol": "square", "color": _colour(value)},
        name=order_name(value),
    )


def _mark_computed(figure: go.Figure, trace: Trace, steps: list[str], blocks: list[str]) -> None:
    """Put a dot into each computed step, so that colour is not all that tells it apart."""
    computed = [step for step, full in zip(steps, trace.computed, strict=True) if full]
    figure.add_trace(
        go.Scatter(
            x=[step for step in computed for _ in blocks],
            y=[block for _ in computed for block in blocks],
            mode="markers",
            marker={"size": 4, "color": "#ffffff"},
            hoverinfo="skip",
            showlegend=False,
        )
    )


def _mark_last(figure: go.Figure, trace: Trace) -> None:
    """Frame the row that makes the image: the last block, where whole blocks are rows."""
    if has_parts(trace):
        return
    top = trace.main
    figure.add_shape(
        type="rect",
        x0=-0.5,
        x1=len(trace) - 0.5,
        y0=top - 0.5,
        y1=top + 0.5,
        line={"color": colours.GREY, "width": 2},
    )
    figure.add_trace(
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={
                "size": 12,
                "symbol": "square-open",
                "color": colours.GREY,
                "line": {"width": 2},
            },
            name="makes the picture",
        )
    )


def _lay_out(figure: go.Figure, trace: Trace, steps: list[str]) -> None:
    # A label per step would not fit a phone; about ten do.
    every = max(1, round(len(steps) / 10))
    shown = list(range(0, len(steps), every))
    figure.update_layout(
        height=150 + (22 if len(trace.labels) <= 28 else 14) * len(trace.labels),
        margin={"l": 48, "r": 12, "t": 36, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": colours.GREY, "size": 12},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemclick": False},
        dragmode=False,
    )
    figure.update_xaxes(
        title="timestep, noisiest first",
        type="category",
        # Points would push the edges out beyond the cells.
        range=[-0.5, len(trace) - 0.5],
        tickvals=[steps[i] for i in shown],
        ticktext=[f"{trace.timesteps[i]:.4g}" for i in shown],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        title="block" if trace.labels != (PREDICTION,) else None,
        type="category",
        range=[-0.5, len(trace.labels) - 0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )


def _colour(value: int) -> str:
    return _CODE_COLOURS[value] if value in _CODE_COLOURS else colours.ORDERS[value].light


def describe_trace(trace: Trace) -> str:
    """Say in plain sentences what a heatmap shows.

    Parameters
    ----------
    trace : Trace
        Of a run, best with every block watched.
    """
    full = int(trace.computed.sum())
    if trace.labels[-1] == PREDICTION:
        return _describe_predictions(trace, full)
    whole = not has_parts(trace)
    rows = "blocks" if whole else "parts of blocks"
    text = f"{full} of {len(trace)} steps computed all {len(trace.labels)} {rows}."
    others = trace.orders[~trace.computed]
    if not len(others):
        return f"{text} No step was skipped."
    if whole and COMPUTED not in others:
        return f"{text} {_describe_skips(others, trace.main)}"
    # Where steps are left out in part, no one row speaks for the others.
    counts = Counter(others.ravel().tolist())
    shares = [f"{counts[o] / others.size:.0%} {order_name(o)}" for o in sorted(counts)]
    return f"{text} At the {len(others)} other steps, of the {rows}: {join(shares)}."


def _describe_predictions(trace: Trace, full: int) -> str:
    """Say what a method at the scheduler did, and whose the other rows are."""
    text = f"{full} of {len(trace)} steps computed."
    orders = trace.orders[~trace.computed]
    if not len(orders):
        return f"{text} No step was skipped."
    counts = Counter(orders[:, -1].tolist())
    parts = [f"{order_name(order)} at {counts[order]}" for order in sorted(counts)]
    text += (
        f" At the {len(orders)} skipped ones nothing of the model ran: its guided prediction, "
        f"which makes the picture, was carried on by {join(parts)} of them."
    )
    if len(trace.labels) > 1:
        text += (
            " The rows of the blocks are what the method as published would have chosen for each; "
            "the picture does not depend on them."
        )
    return text


def _describe_skips(orders: np.ndarray, main: int) -> str:
    """Say which orders the skipped steps took; the last block's make the image."""
    counts = Counter(orders[:, main].tolist())
    parts = [f"{order_name(order)} at {counts[order]}" for order in sorted(counts)]
    text = f"At the {len(orders)} skipped steps, the last block, which makes the image, used "
    text += f"{join(parts)} of them."
    if UNTRACED not in orders:
        alike = int((orders == orders[:, [main]]).all(axis=1).sum())
        text += f" At {alike} of them every block chose the same order."
    return text
