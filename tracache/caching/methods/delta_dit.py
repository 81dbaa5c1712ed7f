"""Δ-DiT (arXiv 2406.01125): the change over a run of blocks is repeated, not their output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.declare import setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch


@dataclass(frozen=True)
class DeltaDiTConfig(MethodConfig):
    """Which blocks are passed over, and when.

    Attributes
    ----------
    interval : int, default 3
        Every ``interval``-th step computes every block (1 … 50).
    share : float, default 0.53
        Share of the blocks passed over at the other steps: 15 of PixArt-α's 28, with which the
        paper's row of this arm agrees.
    gate : float, default 0.5
        Share of the steps that draw the outline. Until then the back blocks, which draw details,
        are passed over; from then on the front ones.
    """

    interval: int = setting(3, low=1, high=50, label="Interval", tries=(2, 3, 4, 5, 6, 8))
    share: float = setting(
        0.53, low=0, high=1, label="Share of blocks", tries=(0.53, 0.65, 0.75, 0.85, 0.95)
    )
    gate: float = setting(0.5, low=0, high=1, label="Outline stage")

    @property
    def needs_num_steps(self) -> str:
        """What of it needs to know the number of steps beforehand."""
        return type(self).__name__

    def plan_steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the steps at which every block computes."""
        return tuple(range(0, num_steps, self.interval))


class DeltaDiT(Method):
    """Keeps the change over the front blocks and over the back ones."""

    def __init__(self, config: DeltaDiTConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        count = round(config.share * stack.depth)
        self._front = range(count)
        self._back = range(stack.depth - count, stack.depth)
        self.clear()

    def clear(self) -> None:
        self._passed: range = range(0)
        self._entered: dict[range, Tensor] = {}
        self._changes: dict[range, Tensor] = {}

    def begin(self, step: Step) -> None:
        if step.index % self.config.interval == 0:
            self._passed = range(0)
        else:
            assert step.num_steps is not None
            outline = step.index < self.config.gate * step.num_steps
            self._passed = self._back if outline else self._front

    def block(self, index: int, call: Call) -> Tensor:
        if index in self._passed:
            passed = self._passed
            return (
                call.hidden_states + self._changes[passed]
                if index == passed[0]
                else (call.hidden_states)
            )
        if self._passed:
            return call()
        spans = [span for span in {self._front, self._back} if span]
        self._entered |= {span: call.hidden_states for span in spans if index == span[0]}
        output = call()
        self._changes |= {
            span: output - self._entered.pop(span) for span in spans if index == span[-1]
        }
        return output

    def row(self) -> Any:
        if not self._passed:
            return None
        return [0 if i in self._passed else -1 for i in range(self.stack.depth)]
