"""The peak of memory over a stretch of work, named by what it is a peak of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

SAMPLING_S = 0.01


@dataclass
class MemoryPeak:
    """A peak; ``bytes`` is filled when the measured block ends.

    Attributes
    ----------
    kind : str
        ``peak VRAM``, ``peak GPU memory`` (of Apple's shared memory) or ``peak process RSS``.
    bytes : int
        The peak.
    before : int
        What was taken when the measured block began.
    """

    kind: str
    bytes: int = 0
    before: int = 0

    @property
    def growth(self) -> int:
        """Bytes by which the peak exceeds what was taken before."""
        return max(self.bytes - self.before, 0)


@contextmanager
def peak_memory(device: torch.device) -> Iterator[MemoryPeak]:
    """Measure the peak of memory while the block runs.

    On CUDA the allocator keeps it exactly; elsewhere it is sampled every 10 ms. On the CPU it is
    the whole process's resident set: weights, libraries, page and all.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        peak = MemoryPeak("peak VRAM", before=torch.cuda.memory_allocated(device))
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
        return
    on_mps = device.type == "mps"
    peak = MemoryPeak("peak GPU memory" if on_mps else "peak process RSS")
    process = psutil.Process()
    done = threading.Event()

    def look() -> None:
        now = torch.mps.driver_allocated_memory() if on_mps else process.memory_info().rss
        peak.bytes = max(peak.bytes, now)

    def watch() -> None:
        while not done.wait(SAMPLING_S):
            look()

    look()
    peak.before = peak.bytes
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        look()
