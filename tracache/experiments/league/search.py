"""Settings with which an arm that decides by itself computes as much as the others may."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: By what share more than the budget may compute; and from where on it is as much as the budget.
OVER = 0.02

#: Halvings between two thresholds, one of which computes too much and the other too little.
HALVINGS = 5


@dataclass(frozen=True)
class Try:
    """Settings that were tried on the tuning prompts.

    Attributes
    ----------
    options : dict
        The settings.
    computed : float
        Steps' worth of blocks that computed.
    error : float
        Mean latent error.
    """

    options: dict[str, Any]
    computed: float
    error: float


def within(computed: float, budget: int) -> bool:
    """Whether so much is no more than a budget, but for two per cent, nor a whole step less."""
    return budget - 1 < computed <= budget * (1 + OVER)


def options_to_try(tries: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return every combination of the values to try, by name."""
    return [dict(zip(tries, each, strict=True)) for each in itertools.product(*tries.values())]


def choose(tried: Sequence[Try], budget: int) -> Try | None:
    """Return the settings for a budget; None where none comes to it.

    Of those within two per cent of the budget the one of the least error; else the one that
    computes most without being over.
    """
    there = [t for t in tried if within(t.computed, budget)]
    close = [t for t in there if t.computed >= budget * (1 - OVER)]
    if close:
        return min(close, key=lambda t: (t.error, t.computed))
    return max(there, key=lambda t: (round(t.computed, 4), -t.error), default=None)


def search(
    run: Callable[[dict[str, Any]], Try],
    tries: Mapping[str, Sequence[float]],
    budgets: Sequence[int],
) -> dict[int, Try | None]:
    """Try every combination, halve between neighbours where that helps, and choose for each budget.

    Parameters
    ----------
    run : callable
        Runs the tuning prompts with some settings.
    tries : mapping of str to sequence of float
        Names of settings, and values to try; only values that are no whole numbers are halved
        between.
    budgets : sequence of int
        Numbers of computed steps.

    Returns
    -------
    dict of int to Try or None
        For each budget; None where no settings come to it.
    """
    tried = [run(options) for options in options_to_try(tries)]
    dial = next((name for name, values in tries.items() if isinstance(values[0], float)), None)
    for budget in budgets:
        found = choose(tried, budget)
        if dial is not None and (found is None or found.computed < budget * (1 - OVER)):
            tried += _halve(run, tried, dial, budget)
    return {budget: choose(tried, budget) for budget in budgets}


def _halve(
    run: Callable[[dict[str, Any]], Try], tried: Sequence[Try], dial: str, budget: int
) -> list[Try]:
    """Try values of a setting between the neighbours on both sides of a budget."""
    pair = _around(tried, dial, budget)
    found: list[Try] = []
    for _ in range(HALVINGS if pair else 0):
        assert pair is not None
        more, less = pair
        value = math.sqrt(max(more.options[dial], 1e-9) * max(less.options[dial], 1e-9))
        made = run({**more.options, dial: float(f"{value:.4g}")})
        found.append(made)
        if budget * (1 - OVER) <= made.computed <= budget * (1 + OVER):
            break
        pair = (made, less) if made.computed > budget else (more, made)
    return found


def _around(tried: Sequence[Try], dial: str, budget: int) -> tuple[Try, Try] | None:
    """Return neighbours, alike in all else, one over a budget and one under it."""
    groups: dict[str, list[Try]] = {}
    for t in tried:
        rest = repr({name: value for name, value in t.options.items() if name != dial})
        groups.setdefault(rest, []).append(t)
    pairs = []
    for some in groups.values():
        for a, b in itertools.pairwise(sorted(some, key=lambda t: t.options[dial])):
            more, less = (a, b) if a.computed > b.computed else (b, a)
            if more.computed > budget * (1 + OVER) and less.computed < budget * (1 - OVER):
                pairs.append((more, less))
    return min(pairs, key=lambda pair: pair[0].error, default=None)
