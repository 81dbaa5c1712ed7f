"""The machine that trains: its device, its precision, its threads."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import torch


def pick_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast: on CPUs with AVX-512 it is several times faster than float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16)


class ThreadChooser:
    """Chooses between all CPU threads and one, again and again, by what is faster right now.

    On a machine shared with others, threads that wait for each other at every small operation run
    slower than a single one as soon as somebody else takes a core.

    Parameters
    ----------
    cycle : int, default 100
        Steps between two comparisons; a comparison takes four steps.
    """

    def __init__(self, cycle: int = 100) -> None:
        self.most, self.cycle, self.count = torch.get_num_threads(), cycle, 0
        self.seconds = {1: float("inf"), self.most: 0.0}  # one is first tried after a cycle
        self._tick = time.monotonic()

    def step(self) -> None:
        """Call once after every training step."""
        now = time.monotonic()
        place = self.count % self.cycle
        if place < 4:
            self.seconds[torch.get_num_threads()] += now - self._tick
        self.count, self._tick = self.count + 1, now
        if place == 3:
            torch.set_num_threads(min(self.seconds, key=lambda n: self.seconds[n]))
        elif place in (self.cycle - 1, 1):
            torch.set_num_threads(self.most if place == 1 else 1)
            if place != 1:
                self.seconds = dict.fromkeys(self.seconds, 0.0)
