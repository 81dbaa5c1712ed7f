"""Which step of which denoising run a forward of the denoiser belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from tracache.caching.evidence import Evidence

_TWICE = (
    "the denoiser ran twice at the same timestep. If this pipeline calls it twice per step, "
    "name each call: with handle.context('cond'): … (and the other). Schedulers "
    "that visit timesteps twice (Heun, KDPM2) are not supported. If an earlier run was broken off "
    "here, call handle.reset() first"
)

#: Runs of one step, one after the other, that are taken for runs broken off.
_SHORT_RUNS = 3
_ALL_NEW = (
    "every forward comes with new tensors, at a timestep that falls: the steps of one run cannot "
    "be told from runs broken off after a step. Attach with scheduler=…, or make the conditions "
    "(text embeddings, classes) once per run, not once per step. If a step takes two forwards, "
    "name each: with handle.context('cond'): … (and the other). If runs were broken off, call "
    "handle.reset() before the next"
)


class RunClock:
    """Counts the steps of a run and notices when another one starts.

    A new run starts when the scheduler got new timesteps, when the timestep turns back or stands
    still (a run goes one way: down where it is noise, up where it is data), when the latents change
    shape, dtype or device, or when :attr:`broken` was set because a forward raised.

    Without a scheduler, one more case is left: a run was broken off between two forwards, and the
    next begins at a timestep that could continue it. What tells is whose memory the inputs lie in,
    see :class:`~tracache.caching.evidence.Evidence`:

    - Where timesteps are entries of one tensor, as pipelines go through ``scheduler.timesteps``,
      the next entry continues the run, and an entry of another tensor starts one.
    - Else the conditions decide, the tensors that come with latents and timestep: pipelines make
      them once per run and hand the same to each step. A forward that shares none of them with the
      run's first, or lacks one of those that all of the run's had, starts a run.

    A loop that makes everything anew at each step looks like runs broken off after one step; after
    the third of these in a row it is refused. What no evidence can tell apart is a loop of one's
    own that makes its timesteps one by one and hands the same conditions to two runs: reset between
    them, or attach with the scheduler.

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
        Its timestep, in the scheduler's units where the denoiser is handed another.
    done : int
        Steps of the schedule's run that went by before this one began, as those of another expert.
    broken : bool
        Set by the owner when a forward failed, so that the next one starts afresh.
    """

    def __init__(self, scheduler: Any = None, num_steps: int | None = None) -> None:
        self._scheduler = scheduler
        self._told = num_steps
        self.reset()

    def reset(self) -> None:
        """Forget the run, and those before it."""
        self._short_runs = 0
        self._forget()

    def forgive(self) -> None:
        """Hold nothing against the coming run: those before it are known to have been mixed up."""
        self._short_runs = 0

    def _forget(self) -> None:
        self.step = -1
        self.done = 0
        self.timestep = float("inf")
        self.broken = False
        self._identity: tuple[Any, ...] = ()
        self._ahead: list[float] = []
        self._evidence = Evidence()
        # What the denoiser was handed last, the way it goes, and what the scheduler has counted.
        self._handed = float("inf")
        self._way = 0
        self._counted = 0
        self._scaled = False

    @property
    def next_timestep(self) -> float | None:
        """Timestep of the step after the current one, if the scheduler tells."""
        return self._ahead[self.step + 1] if self.step + 1 < len(self._ahead) else None

    @property
    def num_steps(self) -> int | None:
        """Steps in the current run, if known."""
        return len(self._ahead) or self._told

    def tick(
        self,
        latents: Any,
        timestep: Any,
        conditions: Iterable[Any] = (),
        signature: tuple[Any, ...] | None = None,
    ) -> bool:
        """Advance to the step of the coming forward; return whether it starts a new run.

        Parameters
        ----------
        latents, timestep
            What the forward is called with.
        conditions : iterable, optional
            Its other inputs.
        signature : tuple, optional
            What of the call has to stay as it is within a run; the looks of the latents if not
            given.

        Raises
        ------
        RuntimeError
            If the second step's timestep comes twice: two trajectories would be taken for one. If
            every forward comes with new tensors, so that nothing shows which run it belongs to.
        """
        schedule = getattr(self._scheduler, "timesteps", None)
        looks = (latents.shape, latents.dtype, latents.device) if signature is None else signature
        identity = (schedule, *looks)
        evidence = Evidence() if schedule is not None else Evidence.of(timestep, conditions)
        if self.broken or not _same(identity, self._identity):
            self._short_runs = 0
            self._start(identity, timestep, evidence)
            return True
        counted = steps_done(self._scheduler)
        if counted is not None and self.step > 0 and not 0 <= counted - self._counted <= 1:
            # Steps went by without this call, as where guidance pauses: what is kept is old.
            self._start(identity, timestep, evidence)
            return True
        moved = counted is not None and counted == self._counted + 1
        value = self._value(self.step + 1, timestep, moved)
        way = (value > self._handed) - (value < self._handed)
        if moved:
            # Timesteps that lie close round together in half precision.
            if self.step + 1 < len(self._ahead) and self.next_timestep == self.timestep:
                self.broken = True
                raise RuntimeError(_TWICE)
            way = way or self._way
        # Two forwards per step look like a run that starts again at every step: the first step's
        # pair passes for one broken off, the second's cannot.
        elif way == 0 and self.step == 1 and self.num_steps != 2:
            self.broken = True
            raise RuntimeError(_TWICE)
        if not moved and way in (0, -self._way):
            if way != 0 or self.step > 0:
                self._short_runs = 0
            self._start(identity, timestep, evidence)
            return True
        # The first two timesteps tell the way. Where it is up, something has to say that they
        # belong together: a run broken off at once looks like that too.
        falls = way < 0 or self.step > 0
        rises = moved or schedule is not None or evidence.ties(self._evidence)
        goes_on = evidence.continues(self._evidence, settled=self.step > 0)
        if not (goes_on and (falls or rises)):
            self._short_runs = self._short_runs + 1 if self.step == 0 else 0
            if self._short_runs > _SHORT_RUNS:
                self.broken = True
                raise RuntimeError(_ALL_NEW)
            self._start(identity, timestep, evidence)
            return True
        self.step += 1
        self._handed, self._way = value, way
        self._counted = self._counted if counted is None else counted
        known = self._scaled and self.step < len(self._ahead)
        self.timestep = self._ahead[self.step] if known else value
        self._short_runs = 0
        self._evidence = evidence.joined_to(self._evidence)
        return False

    def _start(self, identity: tuple[Any, ...], timestep: Any, evidence: Evidence) -> None:
        self._forget()
        self.step = 0
        self._evidence = evidence
        self.timestep = self._handed = read_timestep(timestep)
        self._identity = identity
        schedule = identity[0]
        if schedule is not None:
            values = [float(t) for t in schedule.tolist()]
            place = self._place(values)
            self._counted = place or 0
            # A pipeline may start part of the way down its schedule (image to image).
            if place is not None:
                if steps_done(self._scheduler) == place:
                    self.done = place - (getattr(self._scheduler, "begin_index", None) or 0)
                self._ahead = values[place:]
                self._scaled = self._handed != values[place]
                self.timestep = self._ahead[0]

    def _place(self, values: Sequence[float]) -> int | None:
        """Where on the schedule the run starts, whatever units the denoiser is handed."""
        config = getattr(self._scheduler, "config", None)
        length = float(getattr(config, "num_train_timesteps", None) or 1000)

        def fits(i: int, ways: Sequence[Callable[[float], float]]) -> bool:
            # Half precision keeps eight binary digits.
            return any(abs(w(values[i]) - self._handed) <= abs(self._handed) / 128 for w in ways)

        falling = [lambda t: t, lambda t: t / length]
        ways = [*falling, lambda t: 1 - t / length, lambda t: length - t]
        told = steps_done(self._scheduler)
        told = getattr(self._scheduler, "begin_index", None) if told is None else told
        if not values:
            return None
        if told is not None and told < len(values) and fits(told, ways):
            return told
        if fits(0, falling):
            return 0
        if self._handed in values:
            return values.index(self._handed)
        return next((i for i in range(len(values)) if fits(i, ways)), told or 0) % len(values)

    def _value(self, step: int, timestep: Any, moved: bool) -> float:
        on_host = not isinstance(timestep, Tensor) or timestep.device.type == "cpu"
        if on_host or step >= len(self._ahead):
            return read_timestep(timestep)
        if self._scaled:
            return self._handed if moved else read_timestep(timestep)
        return self._ahead[step]


def read_timestep(timestep: Any) -> float:
    """Return a forward's timestep as a float: a number, or the mean of a tensor of them.

    Some denoisers take a time per token or per frame, of which some may stand still.

    Raises
    ------
    ValueError
        If there is none.
    """
    if timestep is None:
        raise ValueError("the denoiser was called without a timestep, which the cache needs")
    if not isinstance(timestep, Tensor):
        return float(timestep)
    if timestep.numel() == 1 or not any(timestep.stride()):
        return float(timestep.reshape(-1)[0])
    wide = timestep.detach().double()
    low, high, mean = torch.stack([wide.min(), wide.max(), wide.mean()]).tolist()
    return low if low == high else mean


def steps_done(scheduler: Any) -> int | None:
    """How many steps a scheduler has counted; None before the first, or where it does not."""
    index = getattr(scheduler, "step_index", None)
    return index if isinstance(index, int) else None


def _same(identity: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two identities agree: the schedule as an object, the rest by value."""
    return bool(other) and identity[0] is other[0] and identity[1:] == other[1:]
