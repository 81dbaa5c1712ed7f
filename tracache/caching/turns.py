"""Whose turn it is on a scheduler: from its ``set_timesteps`` to its last step it serves one run.

A scheduler counts steps and remembers what came before, so of two runs on one at the same time at
least one goes wrong, with a cache or without. A run may move from thread to thread, as generators
do; what may not be is two threads with a run each, or two pipelines' runs within one another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from tracache.caching.clock import read_timestep
from tracache.caching.threads import Owner
from tracache.caching.wrapping import wrap_method

_THREADS = (
    "two threads run this pipeline at the same time, and its scheduler and cache serve one run: "
    "give each thread a pipeline of its own, or let them take turns with a lock"
)
_WITHIN = (
    "this denoiser was called with the timesteps of another scheduler in the middle of a run, as "
    "by a second pipeline that shares it: give that one a denoiser of its own, or run it before or "
    "after"
)


class Turns:
    """Refuses what would mix two runs up."""

    def __init__(self) -> None:
        # One thread may call a denoiser from within another's call.
        self._busy = threading.RLock()
        # A scheduler that is begun anew within another thread's step counts on from there.
        self._moving = threading.RLock()
        self._owner = Owner(_THREADS)
        self._number = 0
        self._left: int | None = 0
        #: Whether the run's forwards are handed entries of the scheduler's own timesteps.
        self._own_times: bool | None = None
        #: What time it was at the first forward of the coming step, for each denoiser.
        self._times: dict[int, Any] = {}
        #: Whether it was another at a later one, where that is not to be read on the way.
        self._differs: Tensor | None = None

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Begin a run, once no step is under way; another thread's unfinished one cannot go on."""
        with self._moving:
            self._owner.begin(pushes=self._left != 0)
            self._left, self._own_times, self._differs = None, None, None
            self._times.clear()
            self._number += 1
            yield

    @contextmanager
    def step(self, scheduler: Any) -> Iterator[None]:
        """Take a step of the run, within which none begins.

        Raises
        ------
        RuntimeError
            If another thread has begun a run meanwhile; at the last step, if forwards of another
            scheduler's run came in between and could not be told before.
        """
        with self._moving:
            self._owner.go_on()
            self._times.clear()
            self._count(scheduler)
            yield

    def _count(self, scheduler: Any) -> None:
        """Count a step, and at the last one tell whether another's forwards came in between."""
        if self._left is None:
            first = getattr(scheduler, "begin_index", None) or 0
            self._left = len(scheduler.timesteps) - first
        self._left = max(0, self._left - 1)
        differs = self._differs
        if self._left == 0 and differs is not None:
            self._differs = None
            if bool(differs):
                raise RuntimeError(_WITHIN)

    @contextmanager
    def forward(
        self, scheduler: Any, inputs: Iterable[Any], time: Any = None, denoiser: int = 0
    ) -> Iterator[None]:
        """Hold a denoiser for one forward of the run.

        Parameters
        ----------
        scheduler
            Whose run it is.
        inputs : iterable
            What the forward is called with.
        time : Tensor or float, optional
            The time among them.
        denoiser : int, default 0
            Which of the run's denoisers it is of.

        Raises
        ------
        RuntimeError
            If another thread is in a forward, or has begun a run meanwhile; or if the forward is
            of another scheduler's run.
        """
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(_THREADS)
        try:
            self._owner.go_on()
            own = _shares(getattr(scheduler, "timesteps", None), inputs)
            if self._own_times and not own and self._left != 0:
                raise RuntimeError(_WITHIN)
            self._own_times = own
            self._compare(time, denoiser)
            number = self._number
            yield
            if number != self._number:
                raise RuntimeError(_THREADS)
        finally:
            self._busy.release()

    def _compare(self, time: Any, denoiser: int) -> None:
        """At one step it is one time, whatever units a denoiser is handed it in."""
        # Before the first step a pipeline may look at what it begins with.
        if time is None or not self._left:
            return
        first = self._times.setdefault(denoiser, time)
        if first is time or self._own_times:
            return
        if _on_host(time):
            if read_timestep(first) != read_timestep(time):
                raise RuntimeError(_WITHIN)
        elif time.shape == first.shape:
            # Told at the last step, since reading it here would hold up the device.
            other = (time != first).any()
            self._differs = other if self._differs is None else self._differs | other


def _on_host(time: Any) -> bool:
    return not isinstance(time, Tensor) or time.device.type == "cpu"


def _shares(timesteps: Any, inputs: Iterable[Any]) -> bool:
    """Whether one of a forward's inputs lies in the memory of the scheduler's timesteps."""
    if not isinstance(timesteps, Tensor) or timesteps.device.type == "meta":
        return False
    memory = timesteps.untyped_storage().data_ptr()
    return any(
        isinstance(x, Tensor)
        and x.device == timesteps.device
        and x.untyped_storage().data_ptr() == memory
        for x in inputs
    )


def watch_over(scheduler: Any, turns: Turns) -> list[Callable[[], None]]:
    """Tell turns of a scheduler's runs and steps; return what ends that."""

    def begin(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with turns.begin():
            return inner(*args, **kwargs)

    def step(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with turns.step(scheduler):
            return inner(*args, **kwargs)

    return [
        wrap_method(scheduler, name, around)
        for name, around in (("set_timesteps", begin), ("step", step))
    ]
