"""A forward without its blocks: who notes what they return, and who answers for them.

The *tail* is what a forward still does where no block runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

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
        return is_plain(leaf.value for leaf in self.leaves if leaf.shape is None)

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
    never : bool
        Whether such calls compute at every step, because they hand out more than tensors.
    """

    notes: tuple[Note, ...]
    live: tuple[Key, ...]
    always: frozenset[int] = frozenset()
    dense: bool = False
    copied: bool = False
    reason: str = ""
    never: bool = False


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


def copied(given: Any) -> Any:
    """Return a nest of lists, tuples and dicts anew, its tensors copied."""
    return pytree.tree_map(lambda x: x.detach().clone() if isinstance(x, Tensor) else x, given)


def is_plain(values: Iterable[Any]) -> bool:
    """Whether values say all that they are: numbers, words, nothing."""
    return all(isinstance(value, _PLAIN) for value in values)


def is_feature(value: Any) -> bool:
    """Whether a value is a tensor that may have a trajectory."""
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _copy(value: Any) -> Any:
    return value.detach().clone() if is_feature(value) else value


def _version(tensor: Tensor) -> int:
    try:
        return tensor._version
    except RuntimeError:
        # Tensors of inference mode count no versions: they may have been written into.
        return -1
