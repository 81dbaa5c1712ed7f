"""What a pipeline runs at each step, found by what it is, and a method attached to all of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from torch import nn

from tracache.caching.config import MethodConfig
from tracache.caching.discover import TIMES
from tracache.caching.handle import CacheHandle
from tracache.caching.methods.base import Watch
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.scheduled import ScheduledHandle
from tracache.caching.trace import Trace
from tracache.caching.turns import Turns, watch_over

#: The component by which most pipelines go through their steps, and how others' names end.
SCHEDULER = "scheduler"


def denoisers_of(pipe: Any) -> dict[str, nn.Module]:
    """Return the denoisers of a pipeline by the names of its components.

    A denoiser is a module whose forward is told the time, whatever it is called: a transformer,
    the second of two experts, a UNet, a prior. ControlNets are told it too, and are none: see
    :func:`companions_of`. A module that has two names counts once.
    """
    return {name: part for name, part in _timed(pipe).items() if not _is_controlnet(part)}


def first_denoiser(pipe: Any) -> nn.Module:
    """Return the denoiser of a pipeline whose blocks are spoken of where one is: mostly the only.

    Raises
    ------
    TypeError
        If there is none.
    """
    for denoiser in denoisers_of(pipe).values():
        return denoiser
    raise TypeError(
        f"{type(pipe).__name__} has no denoiser to accelerate: none of its components has a "
        "forward that takes a timestep"
    )


def companions_of(pipe: Any) -> dict[str, nn.Module]:
    """Return what runs beside the denoisers at each step, and only for them: ControlNets."""
    return {name: part for name, part in _timed(pipe).items() if _is_controlnet(part)}


def scheduler_of(pipe: Any, name: str) -> str | None:
    """Return the name of the scheduler whose steps a denoiser takes; None if there is none.

    That is the one called like the denoiser, as ``prior_scheduler`` is for ``prior_prior``, where
    there are several, else ``scheduler``.
    """
    own = [key for key in vars(pipe) if key.endswith(f"_{SCHEDULER}") and vars(pipe)[key]]
    own = [key for key in own if name.startswith(key.removesuffix(f"_{SCHEDULER}"))]
    if own:
        return max(own, key=len)
    return SCHEDULER if getattr(pipe, SCHEDULER, None) is not None else None


def _timed(pipe: Any) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, part in vars(pipe).items():
        seen = any(part is other for other in found.values())
        if isinstance(part, nn.Module) and not seen and _takes_time(part):
            found[name] = part
    return found


def _takes_time(module: nn.Module) -> bool:
    # "time" alone is too little to ask: vocoders have an argument that says which axis it is.
    # One that was compiled with a wrapper around it is a denoiser still, and refused by name.
    names = inspect.signature(getattr(module, "_orig_mod", module).forward).parameters
    return any(name in TIMES or "timestep" in name or "noise_time" in name for name in names)


def _is_controlnet(module: nn.Module) -> bool:
    kinds = type(getattr(module, "_orig_mod", module)).__mro__
    return any("ControlNet" in cls.__name__ for cls in kinds)


class SchedulerOf:
    """The scheduler that a pipeline has at the moment, since it may be replaced between runs.

    Parameters
    ----------
    pipe : DiffusionPipeline
        Whose it is.
    name : str, default "scheduler"
        What the pipeline calls it.
    """

    def __init__(self, pipe: Any, name: str = SCHEDULER) -> None:
        self._pipe, self._name = pipe, name

    @property
    def timesteps(self) -> Any:
        """Its timesteps, once a run has begun."""
        return getattr(getattr(self._pipe, self._name, None), "timesteps", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._pipe, self._name), name)


class PipelineTrace(Trace):
    """What was decided on a pipeline: by itself the trace of its first denoiser.

    Attributes
    ----------
    trace : Trace
        That of the first denoiser, which this is too.
    traces : dict of str to Trace
        Those of all, by the names of the pipeline's components; see :class:`PipelineHandle`.
    """

    __slots__ = ("_handle", "trace")

    def __init__(self, handle: PipelineHandle, trace: Trace) -> None:
        # One record under two names: what is written to the one is read from the other.
        self.__dict__ = trace.__dict__
        self._handle, self.trace = handle, trace

    @property
    def traces(self) -> dict[str, Trace]:
        """Decisions on every denoiser, by name."""
        return self._handle.traces

    def __reduce__(self) -> Any:
        return (_same, (self.trace,))


def _same(trace: Trace) -> Trace:
    return trace


class PipelineHandle:
    """A method on every denoiser of a pipeline, each with a clock and a trace of its own.

    Made by :func:`tracache.accelerate`.

    Parameters
    ----------
    pipe : DiffusionPipeline
        Any that has a denoiser.
    config : TraCacheConfig or another method's
        The settings, for all of them.
    trace : {"last", "all"} or sequence of int or str, default "last"
        As for :func:`tracache.attach`.

    Attributes
    ----------
    trace : PipelineTrace
        Decisions of the current or last run, of the first denoiser.

    Raises
    ------
    TypeError
        If there is no denoiser, or the method does not take one that there is.
    ValueError
        If a plan is to act at the scheduler and its steps are not linear.
    RuntimeError
        If a cache is already attached.
    """

    def __init__(self, pipe: Any, config: MethodConfig, trace: Watch = "last") -> None:
        first_denoiser(pipe)
        denoisers = denoisers_of(pipe)
        self._handles: dict[str, CacheHandle | ScheduledHandle] = {}
        self._undo: list[Callable[[], None]] = []
        try:
            if isinstance(config, PlannedConfig):
                self._plan(pipe, denoisers, config, trace)
            else:
                for name, denoiser in denoisers.items():
                    key = scheduler_of(pipe, name)
                    told = None if key is None else SchedulerOf(pipe, key)
                    self._handles[name] = CacheHandle(denoiser, config, scheduler=told, trace=trace)
                self._guard(pipe, denoisers)
        except BaseException:
            self.detach()
            raise
        self.trace = PipelineTrace(self, next(iter(self._handles.values())).trace)

    def _guard(self, pipe: Any, denoisers: dict[str, nn.Module]) -> None:
        """Watch over the schedulers, as a plan does over its own: one run at a time."""
        keys = {name: scheduler_of(pipe, name) for name in denoisers}
        for key in set(keys.values()) - {None}:
            scheduler, turns = getattr(pipe, str(key)), Turns()
            self._undo += watch_over(scheduler, turns)
            for number, name in enumerate(name for name, own in keys.items() if own == key):
                handle = cast(CacheHandle, self._handles[name])
                handle.hold = partial(turns.forward, scheduler, denoiser=number)

    def _plan(
        self, pipe: Any, denoisers: dict[str, nn.Module], config: PlannedConfig, trace: Watch
    ) -> None:
        """One plan for each scheduler, whichever denoisers take its steps."""
        groups: dict[str, list[str]] = {}
        for name in denoisers:
            key = scheduler_of(pipe, name)
            if key is None:
                raise ValueError(
                    f"{type(config).__name__} acts at the scheduler, and {type(pipe).__name__} has "
                    "none that its denoiser's steps are of: use the method as published, with "
                    "stride=… or space='blocks'"
                )
            groups.setdefault(key, []).append(name)
        beside = companions_of(pipe)
        for key, names in groups.items():
            self._handles[key] = ScheduledHandle(
                [denoisers[name] for name in names],
                getattr(pipe, key),
                config,
                trace,
                names=names,
                companions=[p for name, p in beside.items() if scheduler_of(pipe, name) == key],
            )

    @property
    def attached(self) -> bool:
        """Whether the pipeline still runs through this."""
        return any(handle.attached for handle in self._handles.values())

    @property
    def traces(self) -> dict[str, Trace]:
        """Decisions on every denoiser, by the names of the pipeline's components.

        Where a step calls a denoiser more than once and each call has a history, the first goes
        by the component's name and the others are ``"transformer, uncond"``, or
        ``"transformer, call 2"`` where nobody has named them. Of a plan, each has the steps that
        its denoiser would have run.
        """
        found: dict[str, Trace] = {}
        for name, handle in self._handles.items():
            if isinstance(handle, ScheduledHandle):
                found.update({str(key): trace for key, trace in handle.traces.items()})
                continue
            found[name] = handle.trace
            for context, trace in handle.traces.items():
                if trace is not handle.trace and len(trace):
                    found[f"{name}, {context}"] = trace
        return found

    def reset(self) -> None:
        """Forget the run, of every denoiser."""
        for handle in self._handles.values():
            handle.reset()

    def detach(self) -> None:
        """Give all of them their own methods back; the traces stay."""
        while self._undo:
            self._undo.pop()()
        for handle in self._handles.values():
            handle.detach()
