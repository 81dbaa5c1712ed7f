"""Attaches a plan to a scheduler and to the denoisers that it drives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, cast

import torch
from torch import Tensor, nn

from tracache.caching.beside import BlocksBeside
from tracache.caching.checks import require_no_wrapper
from tracache.caching.correct import require_linear
from tracache.caching.discover import Arguments
from tracache.caching.hooks import Detour, hook_module, is_hooked, unhook
from tracache.caching.methods.base import Call, Watch
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.caching.methods.planned_run import PlannedRun
from tracache.caching.trace import Trace
from tracache.caching.turns import Turns
from tracache.caching.wrapping import wrap_method

#: Row of the trace that makes the picture.
PREDICTION = "prediction"


class ScheduledHandle:
    """A plan on a scheduler and its denoisers; each ``set_timesteps`` begins a run.

    Made by :func:`tracache.attach` and :func:`tracache.accelerate` for a
    :class:`~tracache.caching.methods.planned.PlannedConfig`.

    Attributes
    ----------
    config : PlannedConfig
        The settings.
    trace : Trace
        Decisions of the current or last run; the next run rewrites it in place. Its last row is
        what makes the picture: the prediction. Where blocks are watched, theirs stand before it,
        with the orders that the published method would have chosen.
    traces : dict of str or None to Trace
        The same by denoiser, each with the steps at which it is called; None where it has no name.

    Raises
    ------
    TypeError
        If there is no denoiser.
    ValueError
        If the scheduler's steps are not linear in the denoised estimate; the message says why.
    RuntimeError
        If a cache is already attached to a denoiser.
    """

    def __init__(
        self,
        denoisers: Sequence[nn.Module],
        scheduler: Any,
        config: PlannedConfig,
        trace: Watch = "last",
        names: Sequence[str | None] = (None,),
        companions: Sequence[nn.Module] = (),
    ) -> None:
        require_linear(scheduler)
        for part in (*denoisers, *companions):
            require_no_wrapper(part)
        if any(is_hooked(part) for part in (*denoisers, *companions)):
            raise RuntimeError("a cache is already attached to this denoiser; detach it first")
        self.config = config
        self._beside = None if trace == "last" else BlocksBeside(denoisers[0], trace)
        self.trace = self._new_trace()
        # One denoiser's trace is the run's.
        alone = len(names) == 1
        self.traces = {name: self.trace if alone else self._new_trace() for name in names}
        self._scheduler = scheduler
        self._hooked: list[nn.Module] = []
        self._run: PlannedRun | None = None
        #: Copies of the scheduler that step beside it, and their runs, by identity.
        self._beside_runs: dict[int, tuple[Any, PlannedRun]] = {}
        #: What each call of a computed step returned, for the steps after it.
        self._returned: list[Any] = []
        self._calls = 0
        self._called: set[int] = set()
        #: What each companion returned last.
        self._stand_ins: dict[int, Any] = {}
        self._turns = Turns()
        self._arguments = [_arguments_of(denoiser) for denoiser in denoisers]
        self._undo: list[Callable[[], None]] = []
        try:
            self._attach(denoisers, companions)
        except BaseException:
            # An interrupt too: nobody would have a handle to take off what is on already.
            self.detach()
            raise

    def _attach(self, denoisers: Sequence[nn.Module], companions: Sequence[nn.Module]) -> None:
        for answer, parts in ((self._denoise, denoisers), (self._accompany, companions)):
            for index, part in enumerate(parts):
                self._hooked.append(part)
                hook_module(part, Detour(partial(answer, index)))
        self._undo.append(wrap_method(self._scheduler, "set_timesteps", self._restart))
        self._undo.append(wrap_method(self._scheduler, "step", self._step, copied=self._step_copy))

    @property
    def attached(self) -> bool:
        """Whether the scheduler still runs through this."""
        return bool(self._undo)

    def reset(self) -> None:
        """Forget the run and its trace."""
        self._forget()
        for trace in self._all_traces:
            trace.clear()

    def detach(self) -> None:
        """Give scheduler and denoisers their own methods back; the trace stays."""
        while self._undo:
            self._undo.pop()()
        if self._beside is not None:
            self._beside.detach()
        while self._hooked:
            unhook(self._hooked.pop())
        self._forget()

    def _forget(self) -> None:
        self._run, self._returned, self._calls = None, [], 0
        self._beside_runs.clear()
        self._stand_ins.clear()
        self._called.clear()

    @property
    def _all_traces(self) -> list[Trace]:
        others = [trace for trace in self.traces.values() if trace is not self.trace]
        return [self.trace, *others]

    def _restart(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._turns.begin():
            self.reset()
            return inner(*args, **kwargs)

    def _denoise(self, index: int, call: Call) -> Any:
        reads, inputs = self._arguments[index], (*call.args, *call.kwargs.values())
        time = None if reads is None else reads.named(call.args, call.kwargs).get(reads.time)
        with self._turns.forward(self._scheduler, inputs, time, index):
            return self._answer(index, call)

    def _answer(self, index: int, call: Call) -> Any:
        self._called.add(index)
        if self._run is None or self._run.computes:
            if self._beside is not None and self._calls == 0:
                self._begin_beside()
            output = call()
            if self._calls == 0:
                self._returned.clear()
            self._calls += 1
            if self.config.space != OUTPUT:
                self._returned.append(_stand_in(output))
            else:
                self._returned.append(output)
            return output
        place = self._calls
        self._calls += 1
        if self.config.space == OUTPUT:
            return self._predict(place)
        # Some pipelines call it more often at some steps than at others; what is not read may be
        # of any call.
        answer = self._returned[min(place, len(self._returned) - 1)]
        # Fresh memory, since pipelines may write into what a denoiser returned.
        return _map(Tensor.contiguous, answer)

    def _accompany(self, index: int, call: Call) -> Any:
        """Answer for what only denoisers read, which at a skipped step nobody does."""
        computes = self._run is None or self._run.computes
        if computes or index not in self._stand_ins:
            output = call()
            self._stand_ins[index] = _stand_in(output)
            return output
        return _map(Tensor.contiguous, self._stand_ins[index])

    def _predict(self, place: int) -> Any:
        """What a call of the denoiser would have returned, by its own trajectory."""
        assert self._run is not None
        if place >= len(self._returned):
            raise RuntimeError(
                "the denoiser is called more often at a skipped step than at the one computed "
                "before it, so nothing is known of this call: choose another space"
            )
        first = sum(len(_tensors(output)) for output in self._returned[:place])
        predicted = map(self._run.predict, count(first))
        return _map(lambda t: next(predicted).to(t.dtype, copy=True), self._returned[place])

    def _step(
        self,
        inner: Callable[..., Any],
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        with self._turns.step(self._scheduler):
            if self._run is None:
                first = _step_index(self._scheduler, timestep)
                self._run = PlannedRun(self._scheduler, self.config, first)
            computed = self._run.computes
            returned = [t for output in self._returned for t in _tensors(output)]
            handed, latents = self._run.hand(model_output, sample, returned)
            self._calls = 0
            self._record(float(timestep), computed)
            self._called.clear()
            return inner(handed, timestep, latents, *args, **kwargs)

    def _step_copy(
        self,
        inner: Callable[..., Any],
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Step a copy of the scheduler, by which some pipelines take second latents along.

        These have a trajectory of their own, and the run's plan.
        """
        if not self.attached or self._run is None or self.config.space == OUTPUT:
            return inner(model_output, timestep, sample, *args, **kwargs)
        scheduler = cast(Any, inner).__self__
        if id(scheduler) not in self._beside_runs:
            # What is measured in the run is measured of what the scheduler itself steps.
            config = self.config
            config = replace(config, placement="planned") if config.replans else config
            run = PlannedRun(scheduler, config, _step_index(scheduler, timestep))
            self._beside_runs[id(scheduler)] = scheduler, run
        run = self._beside_runs[id(scheduler)][1]
        if (run.step + 1, run.length) != (self._run.step, self._run.length):
            raise RuntimeError(
                "a copy of the scheduler takes other latents through other steps, or before it, "
                f"and space={self.config.space!r} predicts what steps after it alone: choose "
                "space='output', or the method as published, with stride=… or space='blocks'"
            )
        run.plan = self._run.plan
        handed, latents = run.hand(model_output, sample)
        return inner(handed, timestep, latents, *args, **kwargs)

    def _new_trace(self) -> Trace:
        if self._beside is None:
            return Trace((PREDICTION,))
        rows = len(self._beside.labels)
        watched = (*self._beside.watched, rows)
        return Trace((*self._beside.labels, PREDICTION), watched, self._beside.item)

    def _begin_beside(self) -> None:
        """Tell who watches the blocks of the step that comes next."""
        assert self._beside is not None
        step = 0 if self._run is None else self._run.step
        begin = getattr(self._scheduler, "begin_index", None) or 0
        first = begin if self._run is None else self._run.first
        timesteps = self._scheduler.timesteps
        timestep = float(timesteps[min(first + step, len(timesteps) - 1)])
        self._beside.begin(step, timestep, (0,) if self._run is None else self._run.plan)

    def _record(self, timestep: float, computed: bool) -> None:
        assert self._run is not None
        if computed or self._beside is None:
            self._write(timestep, None if computed else self._run.order)
            return
        self._beside.begin(self._run.step - 1, timestep, self._run.plan)
        orders, spreads = self._beside.orders()
        ours = orders.new_full((1,), self._run.order)
        if spreads is not None:
            # The prediction's order is not chosen among candidates.
            nothing = spreads.new_full((len(spreads), 1), math.nan)
            spreads = torch.cat([spreads, nothing], dim=1)
        self._write(timestep, torch.cat([orders, ours]), spreads)

    def _write(self, *step: Any) -> None:
        """Record a step in the run's trace, and in those of the denoisers that it called."""
        self.trace.record(*step)
        for index, trace in enumerate(self.traces.values()):
            if trace is not self.trace and index in self._called:
                trace.record(*step)


def _arguments_of(denoiser: nn.Module) -> Arguments | None:
    """How a denoiser's calls are read; None where nothing in them speaks of time."""
    try:
        return Arguments(denoiser)
    except TypeError:
        return None


def _stand_in(output: Any) -> Any:
    """Return an output of the same shapes, which is all that is needed of it; takes no memory."""
    return _map(lambda t: t.new_zeros(()).expand(t.shape), output)


def _map(change: Callable[[Tensor], Tensor], output: Any) -> Any:
    """Return an output with every tensor in it changed."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, dict):
        return type(output)(**{key: _map(change, value) for key, value in output.items()})
    if isinstance(output, list | tuple):
        return type(output)(_map(change, value) for value in output)
    return output


def _tensors(output: Any) -> list[Tensor]:
    """Every tensor in an output, in the order in which :func:`_map` meets them."""
    found: list[Tensor] = []
    _map(lambda t: found.append(t) or t, output)  # type: ignore[func-returns-value]
    return found


def _step_index(scheduler: Any, timestep: Any) -> int:
    """Index of a run's first step among the scheduler's timesteps."""
    begin = getattr(scheduler, "begin_index", None)
    if begin is not None:
        return int(begin)
    return [float(t) for t in scheduler.timesteps].index(float(timestep))
