"""Pyramid Attention Broadcast (arXiv 2408.12588): each kind of module keeps its own rhythm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.declare import setting
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch


@dataclass(frozen=True)
class PABConfig(MethodConfig):
    """For how many steps each kind of output is broadcast.

    Attributes
    ----------
    self_range, cross_range, mlp_range : int, defaults 2, 6, 2
        Self-attention, cross-attention and MLP compute at every so many-th step (1 … 50); the
        first two are those published for spatial blocks.
    temporal_range : int, default 4
        In place of the first in temporal blocks, as published.
    start, stop : float, defaults 850, 100
        Timesteps between which outputs are broadcast; outside, everything computes.
    """

    self_range: int = setting(2, low=1, high=50, label="Self-attention", tries=(2, 4, 6))
    cross_range: int = setting(6, low=1, high=50, label="Cross-attention")
    mlp_range: int = setting(2, low=1, high=50, label="MLP", tries=(2, 3, 4, 6))
    temporal_range: int = setting(4, low=1, high=50, label="Attention over time", video=True)
    start: float = setting(850.0, low=0, high=1000, label="From timestep", tries=(850.0, 1000.0))
    stop: float = setting(100.0, low=0, high=1000, label="To timestep", tries=(0.0, 100.0))

    def range_of(self, part: str, kind: str = "") -> int:
        """Return the rhythm of a part of a block of some kind."""
        within = self.temporal_range if kind == "temporal" else self.self_range
        return {"attn1": within, "attn2": self.cross_range}.get(part, self.mlp_range)


class PAB(Method):
    """Keeps every module's last output."""

    takes_modules = True
    needs = "the attentions of its blocks"

    def __init__(self, config: PABConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self.clear()

    def clear(self) -> None:
        self._outputs: dict[tuple[int, str], Tensor] = {}
        self._repeated: list[bool] = []

    def begin(self, step: Step) -> None:
        inside = self.config.stop < step.timestep < self.config.start
        self._repeated = [
            inside
            and step.index > 0
            and step.index % self.config.range_of(part, self.stack.kind(index)) != 0
            for index in range(self.stack.depth)
            for part in self.stack.layout.parts
        ]

    def module(self, index: int, part: str, call: Call) -> Tensor:
        parts = list(self.stack.layout.parts)
        if not self._repeated[index * len(parts) + parts.index(part)]:
            self._outputs[index, part] = call()
        return self._outputs[index, part]

    def row(self) -> Any:
        if not any(self._repeated):
            return None
        return [0 if repeated else -1 for repeated in self._repeated]
