"""What of a denoiser's blocks its output is made of: noted at one forward, and proved.

The *tail* is what a forward still does where no block runs. Which of the tensors that blocks return
it reads is not declared: the forward is run without blocks, with NaN in what is believed dead, and
if none comes out, that is dead. A few such runs cost little, since no block runs in them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from tracache.caching.discover import Block

#: More tensors than this are not worth a trajectory each: that of the output serves.
MOST_LIVE = 8
#: A list that does less than this share of the blocks' work may always compute.
SMALL = 0.1
#: How far the output may be off, relative to its size, when nothing but the dead was changed.
CLOSE = {torch.float32: 1e-3, torch.float64: 1e-6}
CLOSE_HALF = 3e-2

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)

#: A tensor that blocks returned: which call of the forward, which tensor of that call.
Key = tuple[int, int]


class Differs(Exception):  # noqa: N818
    """A forward called other blocks than the one that was noted."""


@dataclass(frozen=True)
class Leaf:
    """One value in what a block returned: a tensor's looks, or the value itself."""

    shape: torch.Size | None = None
    dtype: torch.dtype | None = None
    device: torch.device | None = None
    value: Any = None

    @classmethod
    def of(cls, value: Any) -> Leaf:
        """Note a value."""
        if is_feature(value):
            return cls(value.shape, value.dtype, value.device)
        return cls(value=value)

    def filled(self, number: float, dense: bool) -> Any:
        """Return a tensor of these looks that takes no memory, or all of it if ``dense``."""
        if self.shape is None:
            return self.value
        one = torch.full((), number, dtype=self.dtype, device=self.device)
        return one.expand(self.shape).contiguous() if dense else one.expand(self.shape)


@dataclass(frozen=True)
class Note:
    """One call of a block: which, and the structure of what it returned."""

    block: int
    spec: Any
    leaves: tuple[Leaf, ...]

    @classmethod
    def of(cls, block: int, output: Any) -> Note:
        """Note a block's output."""
        leaves, spec = pytree.tree_flatten(output)
        return cls(block, spec, tuple(map(Leaf.of, leaves)))

    @property
    def plain(self) -> bool:
        """Whether it is nothing but tensors of features and values that say what they are."""
        values = [leaf.value for leaf in self.leaves if leaf.shape is None]
        return all(isinstance(x, _PLAIN) for x in values)

    @property
    def features(self) -> tuple[int, ...]:
        """Which of the leaves are tensors that may have a trajectory."""
        return tuple(i for i, leaf in enumerate(self.leaves) if leaf.shape is not None)


@dataclass(frozen=True)
class Tail:
    """How a skipped step answers for the blocks.

    Attributes
    ----------
    notes : tuple of Note
        The calls that a forward makes, in order, without those of ``always``.
    live : tuple of Key
        The tensors that reach the output, the main one last; empty where the output itself is
        extrapolated as a whole.
    always : frozenset of int
        Blocks that compute at every step.
    dense : bool
        Whether dead tensors need memory, because they are written into.
    copied : bool
        Whether live tensors are written into later, so that a history keeps copies.
    reason : str
        Why the output is extrapolated as a whole; else empty.
    """

    notes: tuple[Note, ...]
    live: tuple[Key, ...]
    always: frozenset[int] = frozenset()
    dense: bool = False
    copied: bool = False
    reason: str = ""


class Player(Protocol):
    """Who answers for the blocks during one forward."""

    def answer(self, block: int, compute: Callable[[], Any]) -> Any:
        """Answer for a call of a block."""
        ...


class Recorder:
    """Lets every block compute, notes what it returns and keeps some of it.

    Parameters
    ----------
    keeps : callable
        ``keeps(call, block)``: whether what this call returns is to be kept.
    always : collection of int
        Blocks whose calls do not count.
    copies : bool, default True
        Whether what is kept is copied.
    newest : bool, default False
        Whether the newest call is kept too, until the next.

    Attributes
    ----------
    notes : list of Note
        The calls so far.
    kept : dict of int to list
        Leaves of what the calls returned that are kept.
    """

    def __init__(
        self,
        keeps: Callable[[int, int], bool],
        always: Collection[int] = (),
        copies: bool = True,
        newest: bool = False,
    ) -> None:
        self.notes: list[Note] = []
        self.kept: dict[int, list[Any]] = {}
        self._keeps, self._always = keeps, always
        self._copies, self._newest = copies, newest
        self._returned: dict[int, list[tuple[Tensor, int]]] = {}

    def answer(self, block: int, compute: Callable[[], Any]) -> Any:
        """Run a block and note what it returns."""
        output = compute()
        if block in self._always:
            return output
        call = len(self.notes)
        self.notes.append(Note.of(block, output))
        if self._newest and call and not self._keeps(call - 1, self.notes[call - 1].block):
            del self.kept[call - 1], self._returned[call - 1]
        if self._newest or self._keeps(call, block):
            leaves = pytree.tree_leaves(output)
            self._returned[call] = [(x, _version(x)) for x in leaves if is_feature(x)]
            self.kept[call] = [_copy(x) if self._copies else x for x in leaves]
        return output

    @property
    def written(self) -> bool:
        """Whether what was kept was written into after a block had returned it."""
        returned = [pair for pairs in self._returned.values() for pair in pairs]
        return any(version < 0 or _version(x) != version for x, version in returned)


class Answers:
    """Answers for every block without running it.

    Parameters
    ----------
    tail : Tail
        What was noted, and what computes all the same.
    values : mapping of Key to Tensor
        What live tensors hold.
    fill : callable
        ``fill(key)``: the number that the others are filled with.
    """

    def __init__(
        self,
        tail: Tail,
        values: Mapping[Key, Tensor],
        fill: Callable[[Key], float] = lambda key: 0.0,
    ) -> None:
        self._tail, self._values, self._fill = tail, values, fill
        self._call = 0

    def answer(self, block: int, compute: Callable[[], Any]) -> Any:
        """Answer for a block, or let it compute if it always does."""
        tail, call = self._tail, self._call
        if block in tail.always:
            return compute()
        if call >= len(tail.notes) or tail.notes[call].block != block:
            raise Differs
        self._call += 1
        note = tail.notes[call]
        leaves = [
            self._values[call, i] if (call, i) in self._values else self._filled(call, i, leaf)
            for i, leaf in enumerate(note.leaves)
        ]
        return pytree.tree_unflatten(leaves, note.spec)

    def _filled(self, call: int, i: int, leaf: Leaf) -> Any:
        return leaf.filled(self._fill((call, i)), self._tail.dense)

    def finish(self) -> None:
        """Raise Differs if the forward has not made all the calls that were noted."""
        if self._call != len(self._tail.notes):
            raise Differs


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
                calls = {call for call, _ in found.live}
                again = Recorder(lambda call, _, calls=calls: call in calls, found.always)
                rerun(again)
                found = replace(found, copied=True)
                values = {key: again.kept[key[0]][key[1]] for key in found.live}
            for number in (float("nan"), 3.0):
                # Copies, since what is handed out may be written into.
                handed = {key: value.clone() for key, value in values.items()}
                answers = Answers(found, handed, lambda key, number=number: number)
                if not same_output(rerun(answers), output):
                    return _as_a_whole("without its blocks its forward finds something else"), {}
            return found, values
        except Differs:
            return _as_a_whole("without its blocks its forward calls others"), {}
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            # Most likely something writes into what blocks returned, which needs memory of its own.
            reason = f"without its blocks its forward fails ({error})"
    return _as_a_whole(reason), {}


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
    return replace(tail, live=tuple(live))


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


def _keys(tail: Tail) -> list[Key]:
    return [(call, i) for call, note in enumerate(tail.notes) for i in note.features]


def _as_a_whole(reason: str) -> Tail:
    return Tail((), (), copied=True, reason=reason)


def is_feature(value: Any) -> bool:
    """Whether a value is a tensor that may have a trajectory."""
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


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


def _copy(value: Any) -> Any:
    return value.detach().clone() if is_feature(value) else value


def _version(tensor: Tensor) -> int:
    try:
        return tensor._version
    except RuntimeError:
        # Tensors of inference mode count no versions: they may have been written into.
        return -1
