"""Pyramid Attention Broadcast (arXiv 2408.12588): each kind of module keeps its own rhythm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tracache.config import require_integer, require_number
from tracache.policies.base import Call, Policy, Settings, Stack, Step


@dataclass(frozen=True)
class PABConfig(Settings):
    """For how many steps each kind of output is broadcast.

    Attributes
    ----------
    self_range, cross_range, mlp_range : int, defaults 2, 6, 2
        Self-attention, cross-attention and MLP compute at every so many-th step (1 … 50); the
        first two are those published for spatial blocks.
    start, stop : float, defaults 850, 100
        Timesteps between which outputs are broadcast; outside, everything computes.
    """

    self_range: int = field(default=2, metadata={"low": 1, "high": 50, "label": "Self-attention"})
    cross_range: int = field(default=6, metadata={"low": 1, "high": 50, "label": "Cross-attention"})
    mlp_range: int = field(default=2, metadata={"low": 1, "high": 50, "label": "MLP"})
    start: float = field(default=850.0, metadata={"low": 0, "high": 1000, "label": "From timestep"})
    stop: float = field(default=100.0, metadata={"low": 0, "high": 1000, "label": "To timestep"})

    def __post_init__(self) -> None:
        for name in ("self_range", "cross_range", "mlp_range"):
            require_integer(name, getattr(self, name), 1, 50)
        require_number("start", self.start, 0.0, 1000.0)
        require_number("stop", self.stop, 0.0, 1000.0)

    def range_of(self, part: str) -> int:
        """Return the rhythm of a part of a block."""
        return {"attn1": self.self_range, "attn2": self.cross_range}.get(part, self.mlp_range)


class PAB(Policy):
    """Keeps every module's last output."""

    takes_modules = True

    def __init__(self, config: PABConfig, stack: Stack, watch_all: bool = True) -> None:
        super().__init__(config, stack, watch_all)
        self.clear()

    def clear(self) -> None:
        self._outputs: dict[tuple[int, str], Tensor] = {}
        self._repeated: set[str] = set()

    def begin(self, step: Step) -> None:
        inside = self.config.stop < step.timestep < self.config.start
        self._repeated = {
            part
            for part in self.stack.layout.parts
            if inside and step.index > 0 and step.index % self.config.range_of(part) != 0
        }

    def module(self, index: int, part: str, call: Call) -> Tensor:
        if part not in self._repeated:
            self._outputs[index, part] = call()
        return self._outputs[index, part]

    def row(self) -> Any:
        if not self._repeated:
            return None
        return [
            0 if p in self._repeated else -1 for p in self.stack.layout.parts
        ] * self.stack.depth
