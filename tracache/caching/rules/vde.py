"""VDE's rule (arXiv 2605.23381): the velocity's part along the latents, and the part across them.

With the latents x at a computed step, v = α·x + β·‖x‖·n, where n is of length one and at right
angles to x. At a skipped step α and β are followed along the line through the last two computed
steps, n is the last one's, and x is where the latents are now. As in its published code, over the
timesteps.

The velocity is that of the latents: of rectified flow ε̂ − x̂0, as published, and elsewhere
v-prediction, which is the velocity along the circle of signal and noise. Published for one image at
a time; here each item of the batch has coefficients of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tracache.caching.rules.moment import Moment
from tracache.caching.spaces import SPACES, convert

#: Length below which there is no direction.
SHORT = 1e-6

#: What is handed to the rule, and rectified flow's.
GIVEN, FLOW = SPACES["velocity"], "flow_prediction"


@dataclass(frozen=True)
class Parts:
    """What a velocity is made of at a computed step.

    Attributes
    ----------
    timestep : float
        Where.
    along, across : Tensor [batch, 1, ...]
        α and β.
    """

    timestep: float
    along: Tensor
    across: Tensor


def split(velocity: Tensor, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return α, β [batch, 1, ...] and n [batch, ...] of a velocity at some latents."""
    size = _length(sample).clamp(min=SHORT)
    unit = sample / size
    along = (velocity * unit).sum(_axes(sample), keepdim=True)
    rest = velocity - along * unit
    across = _length(rest)
    return along / size, across / size, rest / across.clamp(min=SHORT)


class AlongAndAcross:
    """The last two computed steps' coefficients, and the last one's direction: one tensor."""

    def __init__(self) -> None:
        self._parts: list[Parts] = []
        self._direction: Tensor | None = None

    @property
    def order(self) -> int:
        """Degree of what α and β follow."""
        return max(len(self._parts) - 1, 0)

    def observe(self, at: Moment, value: Tensor, sample: Tensor | None = None) -> None:
        """Add a computed point; see :class:`~tracache.caching.rules.moment.Rule`."""
        latents, moving = _latents(at, sample, value)
        velocity = convert(value, latents, at.level, GIVEN, _kind(at))
        along, across, self._direction = split(velocity, moving)
        self._parts = [Parts(at.timestep, along, across), *self._parts[:1]]

    def predict(self, at: Moment, sample: Tensor | None = None) -> Tensor:
        """Extrapolate to a later moment; see :class:`~tracache.caching.rules.moment.Rule`."""
        if self._direction is None:
            raise RuntimeError("the first step of a run must compute")
        latents, moving = _latents(at, sample, self._direction)
        newest, *before = self._parts
        along, across = newest.along, newest.across
        for older in before:
            ahead = (at.timestep - newest.timestep) / (newest.timestep - older.timestep)
            along = torch.lerp(newest.along, older.along, -ahead)
            across = torch.lerp(newest.across, older.across, -ahead)
        velocity = along * moving + across * _length(moving) * self._direction
        return convert(velocity, latents, at.level, _kind(at), GIVEN)


def _latents(at: Moment, sample: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the latents, as they are and on the circle or the line that they move along."""
    if sample is None:
        raise ValueError("rule='vde' follows the velocity along the latents: use space='velocity'")
    wide = sample.to(like.dtype)
    size = 1.0 if _kind(at) != GIVEN else math.hypot(at.level.signal, at.level.noise)
    return wide, wide / size


def _kind(at: Moment) -> str:
    """Return which velocity is the latents'."""
    return FLOW if at.prediction == FLOW else GIVEN


def _axes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(range(1, tensor.dim()))


def _length(tensor: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tensor, dim=_axes(tensor), keepdim=True)
