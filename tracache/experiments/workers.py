"""Which part of the work this process does: alone, or one of many.

Many come from ``accelerate launch`` on GPUs, and from ``torchrun`` on CPUs, where the former starts
one alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState

from tracache.settings import Settings

T = TypeVar("T")

#: How long one waits for another, which may have hours more to do; ten minutes are usual.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Worker:
    """One of the processes that share a run.

    Attributes
    ----------
    index, count : int
        Which one of how many.
    """

    index: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether it is the one that merges and prints."""
        return self.index == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Return every count-th item, beginning with the index-th."""
        return list(items[self.index :: self.count])

    def wait(self) -> None:
        """Wait until all of them are here."""
        if self.count > 1:
            PartialState().wait_for_everyone()


#: Whoever does all of the work.
ALONE = Worker()


def batches(count: int, batch: int) -> list[range]:
    """Return the places of so many prompts, batch by batch."""
    return [range(first, min(first + batch, count)) for first in range(0, count, batch)]


def this_worker(settings: Settings) -> tuple[Worker, Settings]:
    """Return this process's part, and the settings with a device of its own.

    Processes on a machine with several GPUs take one each.
    """
    if not _launched():
        return Worker(), settings
    cpu = settings.device == "cpu" or not torch.cuda.is_available()
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    if state.device.type == "cuda" and settings.device in (None, "cuda"):
        settings = replace(settings, device=f"cuda:{state.local_process_index}")
    return Worker(state.process_index, state.num_processes), settings


def _launched() -> bool:
    """Whether there are other processes; alone, nothing needs to be set up."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
