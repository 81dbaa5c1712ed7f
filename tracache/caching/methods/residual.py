"""Methods that answer for the blocks, all at once, by what they last changed together."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tracache.caching.methods.base import Call, Method, Stack, Step, Watch


class Residual(Method):
    """Keeps output − input of the blocks, and adds it to their input where they are skipped.

    Attributes
    ----------
    first : int
        Blocks before this one compute at every step.
    """

    first = 0

    def __init__(self, config: Any, stack: Stack, watch: Watch = "all") -> None:
        super().__init__(config, stack, watch)
        self.clear()

    def clear(self) -> None:
        self._entered: Tensor | None = None
        #: What the blocks last changed; None before they first ran.
        self.change: Tensor | None = None
        self._skipping = False

    def begin(self, step: Step) -> None:
        self.step = step
        # A run whose first step failed half-way, or a denoiser of no more blocks, skips nothing.
        self._skipping = False

    def decide(self, call: Call) -> bool:
        """Whether the blocks compute, given the call of the first that could be skipped."""
        raise NotImplementedError

    def predict(self) -> Tensor:
        """Return what the blocks are taken to change at a skipped step."""
        assert self.change is not None
        return self.change

    def observe(self, change: Tensor) -> None:
        """Take note of what the blocks have changed at a computed step."""
        self.change = change

    def block(self, index: int, call: Call) -> Tensor:
        if index < self.first:
            return call()
        if index == self.first:
            self._skipping = not self.decide(call)
            if self._skipping:
                return call.hidden_states + self.predict()
            self._entered = call.hidden_states
        if self._skipping:
            return call.hidden_states
        output = call()
        if index == self.stack.depth - 1:
            assert self._entered is not None
            self.observe(output - self._entered)
            self._entered = None
        return output

    def row(self) -> Any:
        return 0 if self._skipping else None


def relative_change(new: Tensor, old: Tensor) -> float:
    """Return mean |new − old| / mean |old|; waits for the device."""
    return float((new - old).abs().mean() / old.abs().mean())
