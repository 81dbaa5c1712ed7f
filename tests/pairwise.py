"""Fewer cases of a grid, where what breaks is a setting or two of them together."""

from itertools import combinations, product


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


def _pick(axes, places):
    return tuple(axis[i] for axis, i in zip(axes, places, strict=True))
