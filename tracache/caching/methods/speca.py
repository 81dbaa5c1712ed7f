"""SpeCa (arXiv 2509.11628): forecast, then verify by computing the last block alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.config import MAX_ORDER
from tracache.caching.declare import rising, setting
from tracache.caching.method_config import MAX_STEPS, MAX_STRIDE, MethodConfig
from tracache.caching.methods.base import Call, Method, Stack, Step, Watch
from tracache.caching.rules.trajectory import Trajectory


@dataclass(frozen=True)
class SpeCaConfig(MethodConfig):
    """When a forecast is accepted.

    Attributes
    ----------
    threshold : float, default 0.2
        τ₀: a step is skipped where the last block, really computed on the forecast of its input,
        is off the forecast of its output by no more than this, relative to it (0 … 100); 0 is full
        compute. The default computes 8 of 20 steps of the embedded text-to-image model; published
        are 0.1 to 7 by another measure of being off.
    decay : float, default 0.3
        β: the threshold falls along the run, τ₀ · β^(share of the steps that are done) (0.001 … 1).
    max_order : int, default 2
        Of the Taylor series over the steps' indices (0 … 5).
    warmup : int, default 3
        Leading steps that compute (1 … 1000).
    max_skips : int, default 5
        Compute after so many skips in a row (1 … 50).
    """

    threshold: float = setting(0.2, low=0, high=100, label="Threshold", tries=rising(0.02, 2.0, 16))
    decay: float = setting(0.3, low=0.001, high=1, label="Decay")
    max_order: int = setting(2, low=0, high=MAX_ORDER, label="Order")
    warmup: int = setting(3, low=1, high=MAX_STEPS, label="Warm-up", shown=(1, 20, 1))
    max_skips: int = setting(5, low=1, high=MAX_STRIDE, label="Most skips")

    @property
    def needs_num_steps(self) -> str:
        """What of it needs to know the number of steps beforehand; empty if nothing does."""
        return f"decay={self.decay}" if self.decay < 1.0 else ""

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return True

    @property
    def highest_order(self) -> int:
        """Highest order of extrapolation."""
        return self.max_order


class SpeCa(Method):
    """Keeps the trajectories of what the last block reads and of what it returns.

    At a step that may be skipped the blocks before the last wait. The last one computes, on the
    forecast of its input: where that bears the forecast of its output out, that is the answer;
    where it does not, all blocks compute, from the first on. A block computes for nothing then.
    Reads one number back from the device at every step that is tried.
    """

    def __init__(self, config: SpeCaConfig, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self._before, self._after = (Trajectory(config.max_order, "taylor") for _ in range(2))
        self.clear()

    def clear(self) -> None:
        self._before.clear()
        self._after.clear()
        self._waiting: list[Call] = []
        self._tries = self._accepted = False
        self._skips = 0

    def begin(self, step: Step) -> None:
        self.step = step
        self._waiting = []
        self._accepted = False
        config = self.config
        # Of one block, to verify is to compute all there is.
        ready = bool(self._after.points) and self.stack.depth > 1 and config.threshold > 0.0
        early = step.index < config.warmup
        self._tries = ready and not early and self._skips < config.max_skips

    def block(self, index: int, call: Call) -> Tensor:
        last = self.stack.depth - 1
        if index < last:
            if not self._tries:
                return call()
            self._waiting.append(call)
            return call.hidden_states
        if self._tries:
            return self._verify(call)
        return self._compute(call)

    def _verify(self, call: Call) -> Tensor:
        """Return the forecast of the last block's output, or what it is."""
        point = float(self.step.index)
        read, returned = (
            trajectory.predict(point, trajectory.order)
            for trajectory in (self._before, self._after)
        )
        found = call(read).float()
        off = float((returned.float() - found).norm() / found.norm())
        # What is not small enough, as NaN is not, is not accepted.
        if off <= self._threshold():
            self._accepted = True
            self._skips += 1
            self._waiting = []
            return returned
        waiting, self._waiting = self._waiting, []
        hidden = waiting[0]()
        for other in waiting[1:]:
            hidden = other(hidden)
        return self._compute(call, hidden)

    def _compute(self, call: Call, hidden: Tensor | None = None) -> Tensor:
        """Compute the last block, and take note of what it reads and returns."""
        output = call(hidden)
        point = float(self.step.index)
        read = call.hidden_states if hidden is None else hidden
        self._before.observe(point, read, spreads=False)
        self._after.observe(point, output, spreads=False)
        self._skips = 0
        return output

    def _threshold(self) -> float:
        """τ at this step."""
        config = self.config
        if config.decay == 1.0:
            return config.threshold
        if self.step.num_steps is None:
            raise ValueError("SpeCa's decay needs the number of steps: pass num_steps")
        return config.threshold * config.decay ** (self.step.index / self.step.num_steps)

    def row(self) -> Any:
        return self._after.order if self._accepted else None
