"""Questions that take many images: each is a grid of settings, kept and resumed like a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from tracache.caching.config import BLOCKS, MODULES
from tracache.compare.arm import PUBLISHED, REFERENCE
from tracache.experiments.grid import Variant
from tracache.experiments.summary import MARKERS, SummaryRow, title_of

#: Of lines, which are settings here as often as arms.
COLOURS = ("#0f766e", "#d1495b", "#3b4cc0", "#f4843c", "#7b2d8b", "#9aa0a6", "#e9c46a", "#2a9d8f")

#: Makes a request with these changes.
Ask = Callable[..., Any]


@dataclass(frozen=True)
class Question:
    """One of the paper's comparisons.

    Attributes
    ----------
    about : str
        For help, and above the table.
    variants : callable
        ``variants(ask, strides, orders)``: the requests, with what is special about each.
    strides, orders : tuple of int
        Where the command line does not say.
    along : str
        What the figure's horizontal axis shows: ``max_order``, ``stride`` or ``exponent``.
    scheduler, steps : str or None, int or None
        Where the command line does not say; None leaves the model's own.
    """

    about: str
    variants: Callable[[Ask, Sequence[int], Sequence[int]], list[Variant]]
    strides: tuple[int, ...]
    orders: tuple[int, ...]
    along: str
    scheduler: str | None = None
    steps: int | None = None


def _orders(ask: Ask, strides: Sequence[int], orders: Sequence[int]) -> list[Variant]:
    arms = (PUBLISHED, "tracache-fixed")
    return [("", ask(stride=k, max_order=o, arms=arms)) for k in strides for o in orders]


def _exponents(ask: Ask, strides: Sequence[int], orders: Sequence[int]) -> list[Variant]:
    found: list[Variant] = []
    for k in strides:
        for o in orders:
            found.append(("", ask(stride=k, max_order=o, arms=(PUBLISHED,))))
            for size in (0.2, 0.4, 0.6, 0.8, 1.0):
                for exponent in (size, -size):
                    changes = {"criterion": "power", "exponent": exponent}
                    request = ask(stride=k, max_order=o, arms=(PUBLISHED,), **changes)
                    found.append((f"t^{exponent:+g}", request))
    return found


def _granularity(ask: Ask, strides: Sequence[int], orders: Sequence[int]) -> list[Variant]:
    return [
        (name, ask(stride=k, max_order=o, arms=(PUBLISHED,), space=name))
        for k in strides
        for o in orders
        for name in (BLOCKS, MODULES)
    ]


def _criteria(ask: Ask, strides: Sequence[int], orders: Sequence[int]) -> list[Variant]:
    return [
        (name, ask(stride=k, max_order=o, arms=(PUBLISHED,), criterion=name))
        for k in strides
        for o in orders
        for name in ("std", "mean")
    ]


def _sampler(ask: Ask, strides: Sequence[int], orders: Sequence[int]) -> list[Variant]:
    arms = (PUBLISHED, "reuse", "fewer-steps")
    return [("", ask(stride=k, max_order=o, arms=arms)) for k in strides for o in orders]


QUESTIONS: dict[str, Question] = {
    "orders": Question(
        "fixed against chosen orders (Table 6, Fig. 8)", _orders, (5, 6), (2, 3, 4, 5), "max_order"
    ),
    "exponents": Question(
        "orders that follow a power of the timestep (Fig. 10)", _exponents, (5,), (4,), "exponent"
    ),
    "granularity": Question(
        "whole blocks against attentions and MLPs (Table 7)",
        _granularity,
        (3, 4, 5),
        (3,),
        "stride",
    ),
    "criteria": Question("mean against std (D.1.4)", _criteria, (6,), (5,), "stride"),
    "sampler": Question(
        "a sampler that draws noise (Table 8)", _sampler, (3,), (3,), "stride", "ddpm", 250
    ),
}


def draw(question: Question, rows: Sequence[SummaryRow]) -> go.Figure:
    """Draw the latent error of each setting along what the question varies."""
    figure = go.Figure()
    lines: dict[str, list[SummaryRow]] = {}
    for row in (r for r in rows if r.arm != REFERENCE):
        lines.setdefault(_line(question, row), []).append(row)
    for i, (name, points) in enumerate(lines.items()):
        points = sorted(points, key=lambda row: _place(question, row))
        figure.add_trace(
            go.Scatter(
                x=[_place(question, row) for row in points],
                y=[row.latent_error for row in points],
                mode="lines+markers",
                name=name,
                line={"color": COLOURS[i % len(COLOURS)]},
                marker={"symbol": MARKERS[i % len(MARKERS)], "size": 9},
            )
        )
    titles = {
        "max_order": "max order",
        "stride": "stride",
        "exponent": "exponent of t, 0 where the order is chosen",
    }
    figure.update_layout(
        template="plotly_white",
        margin={"t": 20},
        xaxis={
            "title": titles[question.along],
            "dtick": 0.2 if question.along == "exponent" else 1,
        },
        yaxis={"title": "latent error against full compute", "type": "log"},
        showlegend=True,
    )
    return figure


def _line(question: Question, row: SummaryRow) -> str:
    """What is joined to a line: everything but what runs along the axis."""
    words = [title_of(row.arm)]
    if question.along != "exponent" and row.label:
        words.append(row.label)
    if question.along != "stride":
        words.append(f"stride {row.stride}")
    if question.along == "exponent":
        words[0] = "chosen" if not row.label else "follows t^p"
    return ", ".join(words)


def _place(question: Question, row: SummaryRow) -> float:
    if question.along == "exponent":
        return float(row.label.removeprefix("t^")) if row.label else 0.0
    return float(row.max_order if question.along == "max_order" else row.stride)
