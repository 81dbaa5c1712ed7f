"""How straight calls' outputs move, and what forecasts of them miss."""

from __future__ import annotations

from collections.abc import Sequence

from tracache.experiments.doctor import judgements as judge
from tracache.experiments.doctor.watching import Call


def bend(calls: Sequence[Call]) -> float:
    """Return how far outputs are from a straight line, in steps along it: the most."""
    most = 0.0
    for who in {call.who for call in calls}:
        mine = [call for call in calls if call.who == who]
        first, last = mine[0], mine[-1]
        ends = list(zip(first.outputs, last.outputs, strict=True))
        whole = judge.length([y - x for x, y in ends])
        for call in mine:
            part = (call.moved - first.moved) / (last.moved - first.moved or 1.0)
            line = [x + part * (y - x) for x, y in ends]
            off = judge.length([x - y for x, y in zip(call.outputs, line, strict=True)])
            most = max(most, off / whole * (len(mine) - 1) if whole else 0.0)
    return most


def misses_of(
    cached: Sequence[Call], plain: Sequence[Call], shares: Sequence[float], points: int
) -> list[float]:
    """Return what each forecast misses, in steps of the motion; reuse misses one and more."""
    computed: dict[tuple[int, int], int] = {}
    before: dict[tuple[int, int], Call] = {}
    misses = []
    for mine, full, share in zip(cached, plain, shares, strict=True):
        last = before.get(full.who)
        before[full.who] = full
        if share >= judge.COMPUTED:
            computed[full.who] = computed.get(full.who, 0) + 1
        elif last is not None and computed.get(full.who, 0) >= points:
            moved = judge.distance(last.outputs, full.outputs)
            misses.append(judge.distance(mine.outputs, full.outputs) / moved if moved else 0.0)
    return misses
