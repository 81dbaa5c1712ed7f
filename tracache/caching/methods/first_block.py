"""FirstBlockCache (of ParaAttention): the first block tells when the others have changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.declare import rising, setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call
from tracache.caching.methods.residual import Residual, relative_change
from tracache.caching.trace import COMPUTED


@dataclass(frozen=True)
class FirstBlockConfig(MethodConfig):
    """When the blocks after the first run.

    Attributes
    ----------
    threshold : float, default 0.2
        Blocks after the first are skipped while what the first changes (output − input) differs
        from what it changed when they last ran by less than this, relative to it, of mean absolute
        values (0 … 100); 0 is full compute. The default computes 9 of 20 steps of the embedded
        text-to-image model; with that of diffusers, 0.05, it is 19.
    """

    threshold: float = setting(0.2, low=0, high=100, label="Threshold", tries=rising(0.02, 2.0, 16))

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return True


class FirstBlock(Residual):
    """Keeps the first block's change and that of the others together.

    Reads one number back from the device at every step.
    """

    first = 1

    def clear(self) -> None:
        super().clear()
        self._leading: Tensor | None = None
        self._now: Tensor | None = None

    def block(self, index: int, call: Call) -> Tensor:
        output = super().block(index, call)
        if index == 0:
            self._now = output - call.hidden_states
        return output

    def decide(self, call: Call) -> bool:
        kept, now = self._leading, self._now
        assert now is not None
        change = math.inf if kept is None else relative_change(now, kept)
        # What is not below, as NaN is not, computes.
        if self.change is not None and change < self.config.threshold:
            return False
        self._leading = now
        return True

    def row(self) -> Any:
        return [COMPUTED, *[0] * (self.stack.depth - 1)] if self._skipping else None
