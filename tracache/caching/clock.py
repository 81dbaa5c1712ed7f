"""Which step of which denoising run a forward of the transformer belongs to."""

from __future__ import annotations

from typing import Any

from torch import Tensor

_TWICE = (
    "the transformer ran twice at the same timestep. If this pipeline calls it twice per step, "
    "name each call: with handle.context('cond'): … (and the other). Schedulers "
    "that visit timesteps twice (Heun, KDPM2) are not supported. If an earlier run was broken off "
    "here, call handle.reset() first"
)


class RunClock:
    """Counts the steps of a run and notices when another one starts.

    A new run starts when the scheduler got new timesteps, when the timestep does not fall (a
    denoising run only descends), when the latents change shape, dtype or device, or when
    :attr:`broken` was set because a forward raised.

    Parameters
    ----------
    scheduler : optional
        The pipeline's scheduler. With it, the run's timesteps are read once, at its start, and
        later steps are counted; without it, a timestep on an accelerator is read back per step.
    num_steps : int, optional
        Steps per run, if no scheduler tells.

    Attributes
    ----------
    step : int
        Index of the current step; -1 before the first.
    timestep : float
        Its timestep.
    broken : bool
        Set by the owner when a forward failed, so that the next one starts afresh.
    """

    def __init__(self, scheduler: Any = None, num_steps: int | None = None) -> None:
        self._scheduler = scheduler
        self._told = num_steps
        self.reset()

    def reset(self) -> None:
        """Forget the run."""
        self.step = -1
        self.timestep = float("inf")
        self.broken = False
        self._identity: tuple[Any, ...] = ()
        self._ahead: list[float] = []

    @property
    def next_timestep(self) -> float | None:
        """Timestep of the step after the current one, if the scheduler tells."""
        return self._ahead[self.step + 1] if self.step + 1 < len(self._ahead) else None

    @property
    def num_steps(self) -> int | None:
        """Steps in the current run, if known."""
        return len(self._ahead) or self._told

    def tick(self, latents: Tensor, timestep: Any) -> bool:
        """Advance to the step of the coming forward; return whether it starts a new run.

        Raises
        ------
        RuntimeError
            If the second step's timestep comes twice: two trajectories would be taken for one.
        """
        schedule = getattr(self._scheduler, "timesteps", None)
        identity = (schedule, latents.shape, latents.dtype, latents.device)
        if self.broken or not _same(identity, self._identity):
            self._start(identity, timestep)
            return True
        value = self._value(self.step + 1, timestep)
        # Two forwards per step look like a run that starts again at every step: the first step's
        # pair passes for one broken off, the second's cannot.
        if value == self.timestep and self.step == 1 and self.num_steps != 2:
            self.broken = True
            raise RuntimeError(_TWICE)
        if value >= self.timestep:
            self._start(identity, timestep)
            return True
        self.step += 1
        self.timestep = value
        return False

    def _start(self, identity: tuple[Any, ...], timestep: Any) -> None:
        self.reset()
        self.step = 0
        self.timestep = read_timestep(timestep)
        self._identity = identity
        schedule = identity[0]
        if schedule is not None:
            # A pipeline may start part of the way down its schedule (image to image).
            values = [float(t) for t in schedule.tolist()]
            if self.timestep in values:
                self._ahead = values[values.index(self.timestep) :]

    def _value(self, step: int, timestep: Any) -> float:
        on_host = not isinstance(timestep, Tensor) or timestep.device.type == "cpu"
        if on_host or step >= len(self._ahead):
            return read_timestep(timestep)
        return self._ahead[step]


def read_timestep(timestep: Any) -> float:
    """Return a forward's timestep, a number or a tensor of equal numbers, as a float.

    Raises
    ------
    ValueError
        If there is none.
    """
    if timestep is None:
        raise ValueError("the transformer was called without a timestep, which the cache needs")
    if isinstance(timestep, Tensor):
        return float(timestep.reshape(-1)[0])
    return float(timestep)


def _same(identity: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two identities agree: the schedule as an object, the rest by value."""
    return bool(other) and identity[0] is other[0] and identity[1:] == other[1:]
