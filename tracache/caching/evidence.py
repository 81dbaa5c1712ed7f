"""What a forward tells of its run beside the timestep: whose memory its inputs lie in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef


@dataclass(frozen=True)
class Evidence:
    """Where the inputs of a forward lie in memory.

    Memory is told apart by weak references: they keep nothing alive, and as long as one is held
    no other memory passes for it.

    Attributes
    ----------
    schedule : StorageWeakRef or None
        Memory of all the timesteps that the forward's own is an entry of, as it is where a
        pipeline goes through its scheduler's; None where the timestep lies alone, or is a number.
    entry : int
        Which of them it is, counted from 0.
    conditions : frozenset of StorageWeakRef
        Memory of every other tensor of the forward but the latents.
    """

    schedule: StorageWeakRef | None = None
    entry: int = 0
    conditions: frozenset[StorageWeakRef] = frozenset()

    @classmethod
    def of(cls, timestep: Any, others: Iterable[Any]) -> Evidence:
        """Read a forward's timestep and its other inputs, dicts and lists of tensors included."""
        conditions = frozenset(filter(None, map(_storage, _tensors(others))))
        if not isinstance(timestep, Tensor) or not _is_entry(timestep):
            return cls(conditions=conditions)
        return cls(_storage(timestep), int(timestep.storage_offset()), conditions)

    def continues(self, before: Evidence, settled: bool) -> bool:
        """Whether this forward belongs to the run of the one before it.

        Parameters
        ----------
        before : Evidence
            That of the run so far; see :meth:`joined_to`.
        settled : bool
            Whether that is of two forwards at least, so that it holds only what the run keeps.
        """
        if self.schedule is not None and before.schedule is not None:
            if self.schedule != before.schedule:
                return False
            if self.entry == before.entry + 1:
                return True
            # Out of turn: only what the run keeps can tie the two together.
            if not before.conditions:
                return False
        kept = self.conditions & before.conditions
        if settled:
            return kept == before.conditions
        return bool(kept) or not (self.conditions or before.conditions)

    def ties(self, before: Evidence) -> bool:
        """Whether something shows that this forward comes next in the run of the one before it."""
        ours, theirs = self.schedule, before.schedule
        same = ours is not None and theirs is not None and ours == theirs
        follows = same and self.entry == before.entry + 1
        return follows or bool(self.conditions & before.conditions)

    def joined_to(self, before: Evidence) -> Evidence:
        """Return the evidence of the run that both belong to: the conditions that it keeps."""
        return replace(self, conditions=self.conditions & before.conditions)


def places_of(values: Iterable[Any]) -> frozenset[tuple[StorageWeakRef, int]]:
    """Return where the tensors among values begin: in whose memory, and how far from its start."""
    found = ((_storage(tensor), tensor) for tensor in _tensors(values))
    return frozenset((m, int(x.storage_offset())) for m, x in found if m is not None)


def _is_entry(timestep: Tensor) -> bool:
    """Whether a timestep, alone or expanded to the batch, is one entry of a longer tensor."""
    single = timestep.numel() == 1 or not any(timestep.stride())
    try:
        return single and timestep.untyped_storage().nbytes() > timestep.element_size()
    except NotImplementedError:
        return False


def _storage(tensor: Tensor) -> StorageWeakRef | None:
    try:
        return StorageWeakRef(tensor.untyped_storage())
    except NotImplementedError:
        # Some kinds of tensors have no memory of their own, and tell nothing.
        return None


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            yield from _tensors(value.values())
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
