"""What a league's records come to: a row for everybody in every cell, and who stays out of which.

A cell is a number of steps and a budget: all in it computed as much, of the same prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from tracache.experiments.league.axes import axes_of
from tracache.experiments.league.entrants import ARM, RIVAL, Field
from tracache.experiments.league.intervals import Array, Interval, draw, mean_of, ranks_of, ratio_of
from tracache.experiments.league.scoring import Scores
from tracache.experiments.league.search import within
from tracache.experiments.league.tuning import Chosen, settings_at
from tracache.experiments.records import Records
from tracache.experiments.summary import PairMeasure
from tracache.metrics.fid import SetMeasure

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """An entrant in one cell.

    Attributes
    ----------
    steps, budget : int
        Of full compute, and how many may compute.
    entrant, title, kind : str
        Who.
    computed : float
        Steps' worth of blocks that computed, on the mean.
    error, share, rank : (float, float, float)
        Mean latent error; the same as a share of fewer steps'; the rank by it among the arms of
        the cell, which a way would have if it were one. Each with the ends of its interval.
    median, psnr, ssim : float
        Of the latent error; and means against full compute's pictures, dB and 1.
    nearer : float
        Share of prompts on which it is nearer than fewer steps.
    more : dict of str to float
        Other measures of its pictures, by name.
    options : dict
        Settings that were found for it.
    axes : list of (str, str, str)
        Which question it belongs to, beside whom, and what it takes there; see
        :mod:`~tracache.experiments.league.axes`.
    """

    steps: int
    budget: int
    entrant: str
    title: str
    kind: str
    computed: float
    error: tuple[float, float, float]
    share: tuple[float, float, float]
    rank: tuple[float, float, float]
    median: float
    psnr: float
    ssim: float
    nearer: float
    more: dict[str, float]
    options: dict[str, Any]
    axes: list[tuple[str, str, str]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return _rounded(asdict(self))


@dataclass(frozen=True)
class Cells:
    """All standings of one model at one number of steps.

    Attributes
    ----------
    rows : list of Standing
        By budget and rank.
    out : list of dict
        Who stays out of a cell, with ``steps``, ``budget``, ``title`` and ``why``.
    prompts : int
        How many each row is of.
    full : dict of str to float
        Scores of full compute's pictures, by name; empty where none were asked for.
    """

    rows: list[Standing]
    out: list[dict[str, Any]]
    prompts: int
    full: dict[str, float] = field(default_factory=dict)


def sum_up(
    records: Records,
    whole: Field,
    chosen: Chosen,
    budgets: Sequence[int],
    measures: Mapping[str, SetMeasure] | None = None,
    pairs: Mapping[str, PairMeasure] | None = None,
) -> Cells:
    """Sum up what is recorded so far of one number of steps.

    Parameters
    ----------
    records : Records
        What was recorded.
    whole, chosen
        Who takes part, and with which settings.
    budgets : sequence of int
        The cells.
    measures, pairs : mapping, optional
        Of sets of pictures, and of a picture and full compute's, by name.
    """
    steps = whole.around.steps
    found: dict[tuple[int, str], dict[int, Record]] = {}
    full: dict[int, Record] = {}
    there = records.read()
    for record in there:
        if record["setting"] == f"{steps}-full":
            full[record["index"]] = record
        elif record.get("steps") == steps:
            some = found.setdefault((record["budget"], record["entrant"]), {})
            some[record["index"]] = record
    scores = Scores(there)
    rows: list[Standing] = []
    out: list[dict[str, Any]] = []
    prompts = 0
    for budget in budgets:
        cell, gone = _in_and_out(found, whole, chosen, budget)
        out += [{"steps": steps, "budget": budget, **one} for one in gone]
        if RIVAL not in cell:
            continue
        indices = sorted(set.intersection(*(set(some) for some in cell.values())) & set(full))
        if indices:
            prompts = len(indices)
            table = {name: [some[i] for i in indices] for name, some in cell.items()}
            made = _rows(table, [full[i] for i in indices], whole, budget, records, measures, pairs)
            rows += _with_scores(made, table, scores)
    return Cells(rows, out, prompts, scores.mean(f"{steps}-full", sorted(full)))


def _in_and_out(
    found: Mapping[tuple[int, str], dict[int, Record]],
    whole: Field,
    chosen: Chosen,
    budget: int,
) -> tuple[dict[str, dict[int, Record]], list[dict[str, str]]]:
    """Split a cell's entrants into those who come to the budget and those who do not, and why."""
    cell, out = {}, []
    for entrant in whole.entrants:
        some = found.get((budget, entrant.name), {})
        why = ""
        if entrant.is_searched and settings_at(whole, chosen, entrant, budget) is None:
            why = "none of its settings comes to it on the tuning prompts"
        elif not some:
            why = "not made yet"
        else:
            computed = fmean(float(r["computed"]) for r in some.values())
            if not within(computed, budget):
                why = f"it computed {computed:.2f} on the held-out prompts"
        if why:
            out.append({"entrant": entrant.name, "title": entrant.title, "why": why})
        else:
            cell[entrant.name] = some
    return cell, out


def _rows(
    table: Mapping[str, Sequence[Record]],
    full: Sequence[Record],
    whole: Field,
    budget: int,
    records: Records,
    measures: Mapping[str, SetMeasure] | None,
    pairs: Mapping[str, PairMeasure] | None,
) -> list[Standing]:
    errors = np.array([[float(r["error"]) for r in some] for some in table.values()])
    rival: Array = errors[list(table).index(RIVAL)]
    drawn = draw(errors.shape[1])
    axes = axes_of(whole.configs(budget))
    entrants = {entrant.name: entrant for entrant in whole.entrants}
    rows = []
    # Of an arm there may be many ways, which must not push each other down.
    ranks = ranks_of(errors, drawn, [entrants[name].kind == ARM for name in table])
    for (name, some), mine, rank in zip(table.items(), errors, ranks, strict=True):
        rows.append(
            Standing(
                steps=whole.around.steps,
                budget=budget,
                entrant=name,
                title=entrants[name].title,
                kind=entrants[name].kind,
                computed=_mean(some, "computed"),
                error=_three(mean_of(mine, drawn)),
                share=_three(ratio_of(mine, rival, drawn)),
                rank=_three(rank),
                median=float(np.median(mine)),
                psnr=_mean(some, "psnr"),
                ssim=_mean(some, "ssim"),
                nearer=float((mine < rival).mean()),
                more=_measured(some, full, records, measures or {}, pairs or {}),
                options=dict(some[0]["options"]),
                axes=axes.get(name, []),
            )
        )
    return sorted(rows, key=lambda row: (row.rank, row.entrant))


def _with_scores(
    rows: Sequence[Standing], table: Mapping[str, Sequence[Record]], scores: Scores
) -> list[Standing]:
    """Add scores that everybody in a cell has."""
    found = {
        name: scores.mean(some[0]["setting"], [record["index"] for record in some])
        for name, some in table.items()
    }
    common = set.intersection(*(set(mine) for mine in found.values()))
    return [
        replace(
            row,
            more=row.more | {k: v for k, v in sorted(found[row.entrant].items()) if k in common},
        )
        for row in rows
    ]


def _measured(
    some: Sequence[Record],
    full: Sequence[Record],
    records: Records,
    measures: Mapping[str, SetMeasure],
    pairs: Mapping[str, PairMeasure],
) -> dict[str, float]:
    if not measures and not pairs:
        return {}
    pictures = [records.picture(dict(r)) for r in some]
    found = {name: measure(pictures, []) for name, measure in measures.items()}
    wanted = [records.picture(dict(r)) for r in full] if pairs else []
    for name, pair in pairs.items():
        found[name] = fmean(pair(a, b) for a, b in zip(pictures, wanted, strict=True))
    return found


def _mean(some: Sequence[Record], name: str) -> float:
    return fmean(float(record[name]) for record in some)


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _rounded(value: Any) -> Any:
    """Four digits, which is more than an interval bears out."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
