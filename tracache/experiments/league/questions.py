"""The three questions answered from standings: a figure each, and a sentence made of its numbers.

All functions take rows as JSON has them; see :class:`~tracache.experiments.league.standings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from tracache.compare.arm import TRACACHE
from tracache.compare.colours import GREY
from tracache.experiments.league.axes import ANCHORS

Row = Mapping[str, Any]
#: What an answer takes, and its rows by budget.
Line = tuple[str, list[Row]]


@dataclass(frozen=True)
class Answer:
    """One answer to a question, as a line of its figure.

    Attributes
    ----------
    name, colour, dash : str
        How it is told from the others; dash as Plotly names it.
    rows : list of mapping
        Its standings, by budget.
    """

    name: str
    colour: str
    dash: str
    rows: list[Row]


QUESTIONS = {
    "space": "Which space is extrapolated?",
    "basis": "Which basis extrapolates it?",
    "plan": "Which steps compute?",
}

#: A colour each for what answers take, whoever takes it; on a light page and on a dark one.
_COLOURS = (
    *("#12897f", "#c8553d", "#5b6fd6", "#b07a1e", "#9a4fb0", "#6f7d87", "#3f8f46", "#c2467f"),
    *("#2f86c8", "#8a5a3c", "#93930f", "#d97ba6"),
)
#: Who is varied; the last for an answer that differs from one before it in a word more.
_DASHES = ("solid", "dash", "dot")
_NAMES = {"tracache": "TraCache", "published": "as published"}


def lines_of(rows: Sequence[Row], axis: str, anchor: str, steps: int) -> list[Line]:
    """Return the answers to a question beside one anchor: what each takes, and its rows.

    Parameters
    ----------
    rows : sequence of mapping
        Standings.
    axis, anchor : str
        Question, and who is varied.
    steps : int
        Of full compute.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["steps"] != steps:
            continue
        for question, beside, value in row["axes"]:
            if (question, beside) == (axis, anchor):
                found.setdefault(value, []).append(row)
    lines = [(value, sorted(some, key=lambda r: r["budget"])) for value, some in found.items()]
    return lines if len(lines) > 1 else []


def answers_of(rows: Sequence[Row], axis: str, steps: int) -> list[Answer]:
    """Return every answer to a question, TraCache's and the published method's own first."""
    found: list[Answer] = []
    taken: dict[str, str] = {}
    for usual, anchor in zip(_DASHES, ANCHORS, strict=False):
        lines = lines_of(rows, axis, anchor, steps)
        looks: set[str] = set()
        for value, some in sorted(lines, key=lambda line: line[1][0]["entrant"] != anchor):
            colour = taken.setdefault(value.split(",")[0], _COLOURS[len(taken) % len(_COLOURS)])
            dash = _DASHES[-1] if colour in looks else usual
            looks.add(colour)
            found.append(Answer(f"{_NAMES[anchor]}: {value}", colour, dash, some))
    return found


def figure_of(
    rows: Sequence[Row], axis: str, steps: int, *, legend: bool = True
) -> go.Figure | None:
    """Draw the answers to a question: error as a share of fewer steps', by computed steps.

    Bars are 95 % intervals. None where there is nothing to compare.

    Parameters
    ----------
    rows : sequence of mapping
        Standings.
    axis : str
        Question.
    steps : int
        Of full compute.
    legend : bool, default True
        Whether to name the lines in the figure.
    """
    answers = answers_of(rows, axis, steps)
    if not answers:
        return None
    figure = go.Figure()
    for place, one in enumerate(answers):
        shares = [row["share"] for row in one.rows]
        # Beside one another, or bars would hide each other.
        aside = min(0.06, 0.4 / len(answers)) * (place - (len(answers) - 1) / 2)
        figure.add_trace(
            go.Scatter(
                x=[row["budget"] + aside for row in one.rows],
                y=[share[0] for share in shares],
                customdata=[row["budget"] for row in one.rows],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - mid for mid, _, high in shares],
                    "arrayminus": [mid - low for mid, low, _ in shares],
                    "thickness": 1,
                    "width": 2,
                },
                name=one.name,
                mode="lines+markers",
                line={"color": one.colour, "dash": one.dash, "width": 2},
                hovertemplate="%{fullData.name}<br>%{customdata} computed: %{y:.2f} of fewer "
                "steps' error<extra></extra>",
            )
        )
    figure.add_hline(y=1, line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY},
        margin={"t": 10, "r": 10, "b": 52, "l": 48},
        height=360,
        showlegend=legend,
        legend={"orientation": "h", "y": -0.22, "x": 0},
        xaxis={
            "title": f"computed steps, of {steps}",
            "tickvals": sorted({row["budget"] for one in answers for row in one.rows}),
            "showgrid": False,
        },
        yaxis={
            "title": "error, fewer steps' is 1",
            "type": "log",
            "gridcolor": "rgba(128,134,139,.25)",
            "tickvals": [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5],
            "ticktext": [".1", ".2", ".3", ".5", ".7", "1", "1.5", "2", "3", "5"],
        },
    )
    return figure


def answer(rows: Sequence[Row], axis: str, steps: int) -> str:
    """Return the answer to a question in one sentence, where we are behind first.

    Parameters
    ----------
    rows : sequence of mapping
        Standings.
    axis : str
        Question.
    steps : int
        Of full compute.
    """
    lines = dict(lines_of(rows, axis, TRACACHE, steps))
    ours = next((v for v, some in lines.items() if some[0]["entrant"] == TRACACHE), None)
    if ours is None:
        return "Nothing was measured that answers this."
    mine = {row["budget"]: row for row in lines[ours]}
    behind: list[str] = []
    beaten: list[str] = []
    for budget, row in mine.items():
        there = [(v, r) for v, some in lines.items() if (r := _at(some, budget)) is not None]
        value, best = min(there, key=lambda pair: pair[1]["share"][0])
        if best["share"][0] < row["share"][0]:
            sure = "" if best["share"][2] < row["share"][1] else ", within the intervals"
            behind.append(
                f"at {budget} of {steps} steps {value} is nearer "
                f"({_short(best['share'][0])} against {_short(row['share'][0])}{sure})"
            )
        if row["share"][0] > 1:
            beaten.append(str(budget))
    nearest = {0: "every budget", len(mine): "no budget"}.get(
        len(behind), f"{len(mine) - len(behind)} of {len(mine)} budgets"
    )
    means = {value: fmean(r["share"][0] for r in some) for value, some in lines.items()}
    other = min((value for value in means if value != ours), key=lambda value: means[value])
    rest = (
        f"the {axis} that TraCache takes, {ours}, is nearest at {nearest}, and on the mean at "
        f"{_short(means[ours])} of fewer steps' error, beside {_short(means[other])} with {other}"
    )
    if beaten:
        behind.append(f"fewer steps are nearer at {' and '.join(beaten)}")
    if behind:
        return f"We are behind here: {'; '.join(behind)}; {rest}."
    return f"{rest[:1].upper()}{rest[1:]}."


def _at(rows: Sequence[Row], budget: int) -> Row | None:
    return next((row for row in rows if row["budget"] == budget), None)


def _short(share: float) -> str:
    """A share with two digits, without a nought before the point."""
    return f"{share:.2f}".removeprefix("0")
