"""How sure means and ranks over prompts are: the bootstrap, seeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Of a bootstrap: how often prompts are drawn anew, and the share of draws within an interval.
DRAWS, SURE = 2000, 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A number of some prompts, and between what 95 % of the draws of as many prompts put it."""

    value: float
    low: float
    high: float


def draw(count: int, draws: int = DRAWS, seed: int = 0) -> NDArray[np.intp]:
    """Return which prompts each draw has, with replacement.

    Parameters
    ----------
    count : int
        Prompts.
    draws : int, default 2000
        How often as many are drawn.
    seed : int, default 0
        Of the draws: all that are compared must share them.

    Returns
    -------
    array of int [draws, count]

    Raises
    ------
    ValueError
        If there is no prompt.
    """
    if count < 1:
        raise ValueError("a bootstrap needs a prompt at least")
    return np.random.default_rng(seed).integers(0, count, size=(draws, count))


def mean_of(values: Array, drawn: NDArray[np.intp]) -> Interval:
    """Return the mean of values [prompts] and its interval."""
    return _interval(float(values.mean()), values[drawn].mean(1))


def ratio_of(values: Array, others: Array, drawn: NDArray[np.intp]) -> Interval:
    """Return the mean of values over the mean of others, of the same prompts, and its interval.

    Where the others' mean is nought the ratio is 1 if the values' is as well, and else that of the
    smallest number that there is.
    """

    def ratio(a: Array, b: Array) -> Array:
        least = np.finfo(np.float64).tiny
        return np.where((a == 0) & (b == 0), 1.0, a / np.maximum(b, least))

    value = float(ratio(values.mean(keepdims=True), others.mean(keepdims=True))[0])
    return _interval(value, ratio(values[drawn].mean(1), others[drawn].mean(1)))


def ranks_of(errors: Array, drawn: NDArray[np.intp], among: Sequence[bool] = ()) -> list[Interval]:
    """Return the rank of each row by its mean, 1 the least, and its interval.

    Parameters
    ----------
    errors : array [rows, prompts]
        What is ranked.
    drawn : array of int [draws, prompts]
        From :func:`draw`.
    among : sequence of bool, optional
        Which rows count for the ranks of all; any other has the rank that it would have among
        them. All by default.

    Returns
    -------
    list of Interval
        Rows that tie share the better rank; all numbers are whole.
    """
    # One row at a time: all of them, drawn, would be rows × draws × prompts numbers at once.
    means = np.stack([row[drawn].mean(1) for row in errors])
    counted = np.array(among or [True] * len(errors))
    found = _rank(errors.mean(1)[:, None], counted)[:, 0]
    return [
        _interval(float(rank), drawn_ranks, method="nearest")
        for rank, drawn_ranks in zip(found, _rank(means, counted), strict=True)
    ]


def _rank(means: Array, counted: NDArray[np.bool_]) -> Array:
    """Ranks of rows [rows, draws] within each draw: 1 and how many that count are less."""
    return np.stack([1.0 + (means[counted] < row).sum(0) for row in means])


def _interval(value: float, drawn: Array, method: str = "linear") -> Interval:
    tail = (1 - SURE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail), method=method)  # type: ignore[call-overload]
    return Interval(value, float(low), float(high))
