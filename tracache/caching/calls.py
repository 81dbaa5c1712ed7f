"""Which of a step's calls of the denoiser this is, where pipelines call it more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from tracache.caching.clock import RunClock, read_timestep, steps_done
from tracache.caching.evidence import Evidence, places_of


class Timed(Protocol):
    """What a call of each step has of its own."""

    clock: RunClock

    def forget(self) -> None:
        """Forget the run."""
        ...


Run = TypeVar("Run", bound=Timed)


class _Line(Generic[Run]):
    """The calls of a run that belong together: the first of each step, or the second, …."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.moment = 0
        self.signature: Any = None
        self.conditions: frozenset[Any] = frozenset()
        # Where in their memory they lie: halves of one tensor are two conditions.
        self.places: frozenset[Any] = frozenset()


class Calls(Generic[Run]):
    """Tells apart the calls of one step that nobody has named.

    Calls at one moment, by the scheduler's own count of steps or else by an equal time, are
    different calls of one step: conditional and unconditional, say. Each has a line of its own,
    which goes on where the conditions are those that it has had so far, else by how manieth call
    of the step it is. A line that has missed a step starts anew.

    Parameters
    ----------
    make : callable
        ``make(ordinal)`` returns what the calls of a line share.
    scheduler : optional
        The pipeline's.
    """

    def __init__(self, make: Callable[[int], Run], scheduler: Any = None) -> None:
        self._make, self._scheduler = make, scheduler
        self._lines: list[_Line[Run]] = []
        self._used: list[_Line[Run]] = []
        self._when: tuple[Any, ...] = ()
        self._moment = 0
        #: The last call's timestep, for its clock.
        self.timestep: Any = None

    @property
    def runs(self) -> list[Run]:
        """What each line has, the first call's first."""
        return [line.run for line in self._lines]

    def pick(self, timestep: Any, conditions: Iterable[Any], signature: Any) -> Run:
        """Return what the coming call's line has.

        Parameters
        ----------
        timestep, conditions
            As for :meth:`~tracache.caching.clock.RunClock.tick`.
        signature
            The call's kind.
        """
        when = self._now(timestep)
        # Beside a schedule a timestep is a number and no more; it is read once a call.
        self.timestep = timestep if when[0] is None or when[3] is None else when[3]
        conditions = list(conditions)
        evidence, places = Evidence.of(None, conditions).conditions, places_of(conditions)
        # What follows a call that failed is no further call of its step.
        failed = any(line.run.clock.broken for line in self._used)
        same = self._when and self._when[0] is when[0] and self._when[1:] == when[1:]
        if same and not failed:
            again = [x for x in self._used if (x.signature, x.places) == (signature, places)]
            if again and when[0] is None and evidence:
                # The very same call once more, and no scheduler to say that it is one step's: the
                # clock takes it for a run that starts again, and refuses it if it goes on.
                return again[0].run
        else:
            self._when, self._used = when, []
            self._moment += 1
        line = self._find(evidence, signature)
        if line.moment and line.moment != self._moment - 1:
            line.run.clock.broken = True
        kept = line.conditions & evidence
        goes_on = line.moment == self._moment - 1 and line.signature == signature and kept
        line.conditions = kept if goes_on else evidence
        line.moment, line.signature, line.places = self._moment, signature, places
        self._used.append(line)
        return line.run

    def _find(self, evidence: frozenset[Any], signature: Any) -> _Line[Run]:
        free = [line for line in self._lines if line not in self._used]
        for line in free:
            kept = line.conditions
            if line.signature == signature and kept and kept <= evidence:
                return line
        if not free:
            self._lines.append(_Line(self._make(len(self._lines))))
            return self._lines[-1]
        return free[0]

    def _now(self, timestep: Any) -> tuple[Any, ...]:
        schedule = getattr(self._scheduler, "timesteps", None)
        done = None if schedule is None else steps_done(self._scheduler)
        on_host = not isinstance(timestep, Tensor) or timestep.device.type == "cpu"
        # Once the scheduler counts, a time on an accelerator need not be read. Where it is not
        # known, another run's timesteps are another tensor's entries.
        entries = Evidence() if schedule is not None else Evidence.of(timestep, ())
        told = frozenset(filter(None, [entries.schedule]))
        return schedule, done, told, read_timestep(timestep) if on_host or done is None else None

    def started(self, run: Run) -> None:
        """Take note that a run starts: what later calls of earlier steps left is gone."""
        if self._lines and self._lines[0].run is run:
            for line in self._lines[1:]:
                if line.moment < self._moment:
                    line.run.forget()
                    line.run.clock.reset()
                    line.moment = 0
