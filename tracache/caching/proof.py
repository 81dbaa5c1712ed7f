"""What of a denoiser's blocks its output is made of: proved, not declared.

The forward is run without blocks, with NaN in what is believed dead: if none comes out, that is
dead. A few such runs cost little, since no block runs in them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tracache.caching.discover import Block
from tracache.caching.tail import (
    Answers,
    Differs,
    Key,
    Note,
    Player,
    Recorder,
    Tail,
    is_feature,
    is_plain,
)

#: More tensors than this are not worth a trajectory each: that of the output serves.
MOST_LIVE = 8
#: A list that does less than this share of the blocks' work may always compute.
SMALL = 0.1
#: How far the output may be off, relative to its size, when nothing but the dead was changed.
CLOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
CLOSE_HALF = 3e-2


#: Runs the forward once more, with somebody answering for its blocks.
Rerun = Callable[[Player], Any]


@torch.no_grad()
def prove_tail(
    notes: Sequence[Note],
    blocks: Sequence[Block],
    output: Any,
    kept: Mapping[int, list[Any]],
    written: bool,
    rerun: Rerun,
) -> tuple[Tail, dict[Key, Tensor]]:
    """Find which tensors reach the output, and prove that no other does.

    Parameters
    ----------
    notes : sequence of Note
        Every call of the forward that was watched.
    blocks : sequence of Block
        The denoiser's.
    output
        What that forward returned.
    kept : mapping of int to list
        What the last call returned.
    written : bool
        Whether that was written into afterwards.
    rerun : callable
        Runs the same forward again.

    Returns
    -------
    Tail, dict of Key to Tensor
        How to answer, and what its live tensors held in the forward that was watched.
    """
    leaves = pytree.tree_leaves(output)
    if not is_plain(x for x in leaves if not isinstance(x, Tensor)):
        # A cache of keys beside the picture, say, which only running the blocks fills.
        shows = any(map(is_feature, leaves))
        return replace(_as_a_whole("its output holds more than tensors"), never=shows), {}
    if not notes:
        return _as_a_whole("its forward calls none of its blocks"), {}
    if not all(note.plain for note in notes):
        return _as_a_whole("a block returns what is neither a tensor nor a plain value"), {}
    tail = Tail(tuple(notes), (), copied=written)
    for dense in (False, True):
        tail = replace(tail, dense=dense)
        try:
            found = _search(tail, blocks, rerun)
            if isinstance(found, str):
                return _as_a_whole(found), {}
            last = len(found.notes) - 1
            values: dict[Key, Tensor]
            if all(call == last for call, _ in found.live):
                values = {key: kept[len(notes) - 1][key[1]] for key in found.live}
            else:
                again = Recorder(_calls_of(found), found.always)
                rerun(again)
                found = replace(found, copied=True)
                values = {key: again.kept[key[0]][key[1]] for key in found.live}
            for number in (float("nan"), 3.0):
                # Copies, since what is handed out may be written into.
                handed = {key: value.clone() for key, value in values.items()}
                answers = Answers(found, handed, _always(number))
                if not same_output(rerun(answers), output):
                    return _as_a_whole("without its blocks its forward finds something else"), {}
            return found, values
        except Differs:
            return _as_a_whole("without its blocks its forward calls others"), {}
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            # Most likely something writes into what blocks returned, which needs memory of its own.
            reason = f"without its blocks its forward fails ({error})"
    return _as_a_whole(reason), {}


def _always(number: float) -> Callable[[Key], float]:
    return lambda key: number


def _calls_of(tail: Tail) -> Callable[[int, int], bool]:
    calls = {call for call, _ in tail.live}
    return lambda call, block: call in calls


def _search(tail: Tail, blocks: Sequence[Block], rerun: Rerun) -> Tail | str:
    """Return the tail with its live tensors, or why there is none."""

    def reaches(tail: Tail, poisoned: Collection[Key]) -> bool:
        inside = set(poisoned)
        answers = Answers(tail, {}, lambda key: float("nan") if key in inside else 0.5)
        return not is_finite(rerun(answers))

    if reaches(tail, ()):
        return "without its blocks its forward finds no finite output"
    keys = _keys(tail)
    last = len(tail.notes) - 1
    others = [key for key in keys if key[0] != last]
    if others and reaches(tail, others):
        tail = _spare(tail, blocks, lambda keys: reaches(tail, keys))
        last = len(tail.notes) - 1
        others = [key for key in _keys(tail) if key[0] != last]
        leaking = reaches(tail, others) if others else False
        live = [key for key in others if reaches(tail, [key])] if leaking else []
    else:
        live = []
    live += [key for key in _keys(tail) if key[0] == last and reaches(tail, [key])]
    if not live:
        return "its output depends on none of its blocks"
    if len(live) > MOST_LIVE:
        return f"{len(live)} tensors of its blocks reach the output"
    # The main one is the largest: the picture, where there is sound beside it.
    return replace(tail, live=tuple(sorted(live, key=lambda key: _size(tail, key))))


def _spare(tail: Tail, blocks: Sequence[Block], reaches: Callable[[list[Key]], bool]) -> Tail:
    """Let small lists of blocks compute always that the output reads and no other list feeds."""
    work: dict[str, int] = {}
    for note in tail.notes:
        stack = blocks[note.block].stack
        work[stack] = work.get(stack, 0) + _work(note, blocks[note.block])
    main = blocks[tail.notes[-1].block].stack
    first = next(c for c, note in enumerate(tail.notes) if blocks[note.block].stack == main)
    spared: set[int] = set()
    for stack, done in work.items():
        calls = [c for c, note in enumerate(tail.notes) if blocks[note.block].stack == stack]
        small = done < SMALL * sum(work.values())
        if stack != main and small and max(calls) < first:
            keys = [key for key in _keys(tail) if key[0] in calls]
            if reaches(keys):
                spared |= {tail.notes[c].block for c in calls}
    # What feeds a list that computes has to compute too.
    names = {blocks[block].stack.rpartition(".")[0] for block in spared} - {""}
    beside = {
        note.block
        for note in tail.notes[:first]
        if blocks[note.block].stack.rpartition(".")[0] in names
    }
    always = frozenset(spared | beside)
    kept = tuple(note for note in tail.notes if note.block not in always)
    return replace(tail, notes=kept, always=always)


def _work(note: Note, block: Block) -> int:
    """Multiplications of a call, roughly: parameters times rows."""
    rows = max(
        (leaf.shape.numel() // max(leaf.shape[-1], 1) for leaf in note.leaves if leaf.shape),
        default=1,
    )
    return rows * sum(p.numel() for p in block.module.parameters())


def _size(tail: Tail, key: Key) -> int:
    shape = tail.notes[key[0]].leaves[key[1]].shape
    return shape.numel() if shape is not None else 0


def _keys(tail: Tail) -> list[Key]:
    return [(call, i) for call, note in enumerate(tail.notes) for i in note.features]


def _as_a_whole(reason: str) -> Tail:
    return Tail((), (), copied=True, reason=reason)


def is_finite(output: Any) -> bool:
    """Whether every number of an output is finite."""
    return all(bool(torch.isfinite(x).all()) for x in pytree.tree_leaves(output) if is_feature(x))


def same_output(output: Any, other: Any) -> bool:
    """Whether two outputs agree, up to rounding."""
    pairs = zip(pytree.tree_leaves(output), pytree.tree_leaves(other), strict=True)
    for x, y in pairs:
        if not is_feature(x):
            continue
        error = (x - y).abs().double().norm()
        if not bool(error <= CLOSE.get(y.dtype, CLOSE_HALF) * y.abs().double().norm()):
            return False
    return True
