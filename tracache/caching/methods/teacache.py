"""TeaCache (arXiv 2411.19108): the timestep's embedding tells when the output has changed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tracache.caching.checks import require_number
from tracache.caching.declare import rising, setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call
from tracache.caching.methods.residual import Residual, relative_change


@dataclass(frozen=True)
class TeaCacheConfig(MethodConfig):
    """When the blocks run.

    Attributes
    ----------
    threshold : float, default 0.2
        The blocks run once the changes since they last did add up to this (0 … 100); 0 is full
        compute. Of the modulated input's relative L1 changes, rescaled. The default computes 8
        of 20 steps of the embedded text-to-image model.
    coefficients : tuple of float, default (1.0, 0.0)
        Polynomial that rescales a change, highest power first. Published ones belong to one
        model; none are for PixArt-α and DiT, so the default leaves changes as they are.
    """

    threshold: float = setting(0.2, low=0, high=100, label="Threshold", tries=rising(0.02, 2.0, 16))
    coefficients: tuple[float, ...] = (1.0, 0.0)

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return True

    def check(self) -> None:
        """Raise ValueError where a coefficient is no number."""
        for coefficient in self.coefficients:
            require_number("coefficients", coefficient, -1e9, 1e9)
        object.__setattr__(self, "coefficients", tuple(self.coefficients))

    def rescale(self, change: float) -> float:
        """Evaluate the polynomial."""
        value = 0.0
        for coefficient in self.coefficients:
            value = value * change + coefficient
        return value


class TeaCache(Residual):
    """Keeps the change over all blocks. Reads one number back from the device at every step."""

    needs = "how its first block's input is modulated"

    def clear(self) -> None:
        super().clear()
        self._signal: Tensor | None = None
        self._total = 0.0

    def decide(self, call: Call) -> bool:
        signal = self.stack.layout.modulated(self.stack.blocks[0], call.hidden_states, call.kwargs)
        previous, self._signal = self._signal, signal
        if previous is None or self.change is None or self.step.is_last:
            self._total = 0.0
            return True
        self._total += self.config.rescale(relative_change(signal, previous))
        if self._total < self.config.threshold:
            return False
        self._total = 0.0
        return True
