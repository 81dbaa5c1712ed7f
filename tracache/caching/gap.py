"""The skipped steps between two computed ones, and what looking back changes at their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tracache.caching.coordinates import gaussian_data, interpolation
from tracache.caching.correct import Coefficients, Slot
from tracache.caching.spaces import Level

#: Up to this much signal over noise an estimate is one of pure noise.
SIGNAL = 1e-3

#: Coefficients no larger than this are nought: schedulers have their schedule in float32.
ROUNDING = 1e-6


class Gap:
    """The skipped steps between two computed ones, and what the scheduler made of them.

    Parameters
    ----------
    coefficients : Coefficients
        Of the run.
    start, end : int
        The computed steps on its two sides.
    """

    def __init__(self, coefficients: Coefficients, start: int, end: int) -> None:
        self._levels = coefficients.levels
        self._steps = range(start + 1, end)
        rows: dict[Slot | None, Tensor] = {None: coefficients.estimates[end]}
        rows.update((slot, row[1:]) for slot, row in coefficients.memory[end].items())
        weights = {slot: [float(row[step]) for step in self._steps] for slot, row in rows.items()}
        self._weights = {
            s: row for s, row in weights.items() if any(abs(w) > ROUNDING for w in row)
        }
        # What consists of the gap's estimates alone is known where it is, and need not be summed.
        self._made = {
            slot
            for slot, row in coefficients.memory[end].items()
            if float(torch.cat([row[: start + 2], row[end + 1 :]]).abs().max()) <= ROUNDING
        }
        self._used: dict[Slot | None, Tensor] = {}

    def add(self, step: int, estimate: Tensor) -> None:
        """Note the denoised estimate that a skipped step was handed, float32 [batch, ...]."""
        for slot, row in self._weights.items():
            weight = row[step - self._steps.start]
            if slot in self._made:
                continue
            if slot in self._used:
                self._used[slot].add_(estimate, alpha=weight)
            else:
                self._used[slot] = estimate * weight

    def makes(self, slot: Slot | None) -> bool:
        """Whether what the scheduler remembers there consists of this gap's estimates alone."""
        return slot in self._made

    def changes(
        self, known: Sequence[tuple[int, Tensor]], degree: int
    ) -> Iterator[tuple[Slot | None, Tensor]]:
        """Yield what changes at the gap's end with interpolated estimates.

        Parameters
        ----------
        known : sequence of (step, Tensor)
            Computed estimates, newest first; the newest is the gap's end's.
        degree : int
            Of the polynomial through the newest ones.

        Yields
        ------
        tuple of (Slot or None, Tensor)
            What the scheduler remembers there, or the latents, and what to add to it; or what to
            replace it with, where the gap :meth:`makes` it.
        """
        # Before the gap, an estimate of pure noise is no point of a smooth trajectory.
        points = [
            point
            for k, point in enumerate(known[: degree + 1])
            if k < 2 or not is_pure_noise(self._levels[point[0]])
        ]
        at = [gaussian_data(self._levels[step].log_snr) for step, _ in points]
        shares = [
            interpolation(gaussian_data(self._levels[step].log_snr), at) for step in self._steps
        ]
        for slot, row in self._weights.items():
            total = torch.zeros_like(points[0][1]) if slot in self._made else -self._used[slot]
            for k, (_, estimate) in enumerate(points):
                alpha = sum(w * share[k] for w, share in zip(row, shares, strict=True))
                total.add_(estimate, alpha=alpha)
            yield slot, total


def is_pure_noise(level: Level) -> bool:
    """Whether an estimate at this level is no point of a smooth trajectory."""
    return level.signal <= SIGNAL * level.noise
