"""Grids of cases: those that meet every pair of settings, and those of the quick set."""

from itertools import combinations, product

import pytest


def pairwise(*axes, possible=lambda *row: True):
    """Return rows of a grid in which any two values that can meet do so at least once."""
    grid = product(*(range(len(axis)) for axis in axes))
    named = {places: _pick(axes, places) for places in grid}
    pairs = {p: set(combinations(enumerate(p), 2)) for p, row in named.items() if possible(*row)}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        best = max(pairs, key=lambda places: len(pairs[places] & missing))
        missing -= pairs[best]
        chosen.append(named[best])
    return chosen


def in_turn(first, second, turn=0):
    """Return a grid of two axes; all are slow but, for each of the second, one of the first."""
    first, cases = tuple(first), []
    for i, two in enumerate(second):
        for j, one in enumerate(first):
            quick = j == (i + turn) % len(first)
            cases.append(pytest.param(one, two, marks=() if quick else pytest.mark.slow))
    return cases


def _pick(axes, places):
    return tuple(axis[i] for axis, i in zip(axes, places, strict=True))
