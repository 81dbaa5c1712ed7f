"""AdaCache (arXiv 2411.02397): how much a block's attention changed sets the next skips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.checks import require_integer, require_number
from tracache.caching.declare import rising, setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch


@dataclass(frozen=True)
class AdaCacheConfig(MethodConfig):
    """How far a computed step is made to last.

    Attributes
    ----------
    codebook : tuple of (float, int), the one published for 30 steps of video
        (change per step, steps), rising: the first entry whose bound the change stays under says
        at which step from now everything computes again; beyond the last entry the next one does.
    scale : float, default 0.45
        Multiplies the codebook's bounds; 0 is full compute, 1 the codebook as published. The
        default computes about 8 of 20 steps of the embedded text-to-image model.
    probe : float, default 0.5
        Depth of the block whose self-attention is watched: 0 the first, 1 the last.
    """

    codebook: tuple[tuple[float, int], ...] = (
        (0.08, 6),
        (0.16, 5),
        (0.24, 4),
        (0.32, 3),
        (0.40, 2),
    )
    scale: float = setting(0.45, low=0, high=100, label="Patience", tries=rising(0.05, 5.0, 16))
    probe: float = setting(0.5, low=0, high=1, label="Depth watched")

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return True

    def check(self) -> None:
        """Raise ValueError where the codebook is none."""
        codebook = tuple((bound, steps) for bound, steps in self.codebook)
        for bound, steps in codebook:
            require_number("codebook", bound, 0.0, 1e6)
            require_integer("codebook", steps, 1, 1000)
        if [bound for bound, _ in codebook] != sorted({bound for bound, _ in codebook}):
            raise ValueError("the codebook's changes must rise")
        object.__setattr__(self, "codebook", codebook)

    def steps_for(self, change: float) -> int:
        """Return how many steps from now everything computes again."""
        for bound, steps in self.codebook:
            if change < bound * self.scale:
                return steps
        return 1


class AdaCache(Method):
    """Keeps every module's last output. Reads one number back at every computed step."""

    takes_modules = True
    needs = "the attentions and MLPs of its blocks"

    def __init__(self, config: AdaCacheConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self._probe = round(config.probe * (stack.depth - 1))
        self.clear()

    def clear(self) -> None:
        self._outputs: dict[tuple[int, str], Tensor] = {}
        self._computed_at = 0
        self._next = 0
        self._skipping = False

    def begin(self, step: Step) -> None:
        self._step = step
        self._skipping = step.index < self._next

    def module(self, index: int, part: str, call: Call) -> Tensor:
        key = index, part
        if self._skipping:
            return self._outputs[key]
        output = call()
        if index == self._probe and part == next(iter(self.stack.layout.parts)):
            self._plan(self._outputs.get(key), output)
        self._outputs[key] = output
        return output

    def _plan(self, previous: Tensor | None, output: Tensor) -> None:
        now = self._step.index
        if previous is None:
            self._next = now + 1
        else:
            change = ((output - previous).abs().mean() / previous.abs().mean()).item()
            self._next = now + self.config.steps_for(change / (now - self._computed_at))
        self._computed_at = now

    def row(self) -> Any:
        return 0 if self._skipping else None
