"""What a rule at the scheduler is told of a step, and what it has to be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tracache.caching.rules.trajectory import Trajectory
from tracache.caching.spaces import Level


@dataclass(frozen=True)
class Moment:
    """A step of a run.

    Attributes
    ----------
    step, steps : int
        Its index, and how many there are.
    timestep : float
        As the scheduler has it.
    level : Level
        How noisy the latents are.
    prediction : str
        What the scheduler takes the denoiser's output for.
    """

    step: int
    steps: int
    timestep: float
    level: Level
    prediction: str = "epsilon"


class Rule(Protocol):
    """How a trajectory goes on."""

    @property
    def order(self) -> int:
        """Degree of what is predicted, or what comes nearest to that; 0 repeats."""

    def observe(self, at: Moment, value: Tensor, sample: Tensor | None = None) -> None:
        """Add a computed point.

        Parameters
        ----------
        at : Moment
            Later than the last.
        value : Tensor [batch, ...]
            In float32 or wider.
        sample : Tensor, same shape, optional
            The latents there; None where the trajectory is that of a denoiser's output.
        """

    def predict(self, at: Moment, sample: Tensor | None = None) -> Tensor:
        """Extrapolate to a later moment, in the shape and dtype of the values."""


class Along:
    """A trajectory over one coordinate of the moments, at its highest order.

    Parameters
    ----------
    trajectory : Trajectory
        Empty.
    coordinate : callable
        ``coordinate(moment) -> float``.
    """

    def __init__(self, trajectory: Trajectory, coordinate: Callable[[Moment], float]) -> None:
        self._trajectory, self._coordinate = trajectory, coordinate

    @property
    def order(self) -> int:
        """Highest degree that the history allows so far."""
        return self._trajectory.order

    def observe(self, at: Moment, value: Tensor, sample: Tensor | None = None) -> None:
        """Add a computed point; see :class:`Rule`."""
        self._trajectory.observe(self._coordinate(at), value, spreads=False)

    def predict(self, at: Moment, sample: Tensor | None = None) -> Tensor:
        """Extrapolate to a later moment; see :class:`Rule`."""
        return self._trajectory.predict(self._coordinate(at), self._trajectory.order)
