"""The cache: a method attached to a denoiser, one step after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

from torch import nn

from tracache.caching.checks import require_choice, require_integer
from tracache.caching.clock import RunClock
from tracache.caching.config import BLOCKS, MODULES, MethodConfig, TraCacheConfig
from tracache.caching.declare import settings_of
from tracache.caching.hooks import DenoiserDetour, Detour, hook_module, is_hooked, unhook
from tracache.caching.layouts import (
    argument_reader,
    find_blocks,
    find_layout,
    find_modules,
    find_parts,
)
from tracache.caching.methods import check_config, make_method
from tracache.caching.methods.base import Call, Stack, Step, Watch
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.caching.scheduled import ScheduledHandle
from tracache.caching.spaces import SPACES
from tracache.caching.trace import Trace


class _Run:
    """What one context keeps: its clock, its method's state and its trace."""

    def __init__(self, config: MethodConfig, stack: Stack, clock: RunClock, watch: Watch) -> None:
        self.clock = clock
        self.method = make_method(config, stack, watch)
        item = 0 if stack.layout.conditional_first else -1
        self.trace = Trace(self.method.labels, self.method.watched, item)

    def forget(self) -> None:
        self.method.clear()
        self.trace.clear()


class CacheHandle:
    """One cache on one denoiser; made by :func:`attach`.

    The state resets itself whenever a new run starts, see
    :class:`~tracache.caching.clock.RunClock`.

    Attributes
    ----------
    config : TraCacheConfig or another method's
        The settings.
    trace : Trace
        Decisions of the current or last run; the next run rewrites it in place.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        config: MethodConfig,
        *,
        num_steps: int | None = None,
        scheduler: Any = None,
        trace: Watch = "last",
    ) -> None:
        if num_steps is not None:
            require_integer("num_steps", num_steps, 1, 100_000)
        check_config(config)
        self._counted = config.needs_num_steps
        if self._counted and num_steps is None and scheduler is None:
            raise ValueError(
                f"{self._counted} needs the number of steps: pass num_steps=… or scheduler=…, "
                "or use tracache.accelerate(pipe, …), which reads it from the pipeline"
            )
        stack = Stack(tuple(find_blocks(denoiser)), find_layout(denoiser), scheduler)
        self.config = config
        self._new_run: Callable[[], _Run] = lambda: _Run(
            config, stack, RunClock(scheduler, num_steps), trace
        )
        self._runs: dict[str | None, _Run] = {None: self._new_run()}
        self._context: str | None = None
        self._threads = _Threads()
        self._modules: list[nn.Module] = []
        self._attach(denoiser)

    def _attach(self, denoiser: nn.Module) -> None:
        feeders = find_modules(denoiser, find_layout(denoiser).feeders)
        self._latents = argument_reader(denoiser.forward, find_layout(denoiser).latents)
        self._timestep = argument_reader(denoiser.forward, "timestep")
        hooks: dict[nn.Module, Detour] = {denoiser: DenoiserDetour(self, self._step)}
        for name, module in feeders.items():
            hooks[module] = Detour(partial(self._feeder, name))
        by_modules = self._run.method.takes_modules
        for index, block in enumerate(find_blocks(denoiser)):
            hooks[block] = Detour(partial(self._block, index), compiled=not by_modules)
        if by_modules:
            for index, parts in enumerate(find_parts(denoiser)):
                for part, module in parts.items():
                    hooks[module] = Detour(partial(self._module, index, part))
        if any(is_hooked(module) for module in hooks):
            raise RuntimeError("a cache is already attached to this denoiser; detach it first")
        for module, hook in hooks.items():
            hook_module(module, hook)
            self._modules.append(module)

    @property
    def attached(self) -> bool:
        """Whether the denoiser still runs through this cache."""
        return bool(self._modules)

    @property
    def trace(self) -> Trace:
        """Decisions of the current or last run, in the first context that was used."""
        named = [run for name, run in self._runs.items() if name is not None]
        unnamed = self._runs[None]
        return named[0].trace if named and not len(unnamed.trace) else unnamed.trace

    @property
    def traces(self) -> dict[str | None, Trace]:
        """Decisions by context; None is the one without a name."""
        return {name: run.trace for name, run in self._runs.items()}

    @contextmanager
    def context(self, name: str) -> Iterator[None]:
        """Name the forwards inside, for pipelines that call the denoiser twice per step.

        Each context has a history of its own, as the conditional and the unconditional forward of
        classifier-free guidance need. diffusers' ``transformer.cache_context(name)`` does the
        same where the denoiser has it.
        """
        previous = self._context
        self.set_context(name)
        try:
            yield
        finally:
            self.set_context(previous)

    def set_context(self, name: str | None) -> None:
        """Enter a context, or leave the named ones with None; see :meth:`context`."""
        self._context = name
        if name not in self._runs:
            self._runs[name] = self._new_run()

    def reset(self) -> None:
        """Forget the run: its history, its step count and its trace."""
        for run in self._runs.values():
            run.clock.reset()
            run.forget()

    def detach(self) -> None:
        """Give the denoiser its own forwards back and free the history; the trace stays."""
        for module in self._modules:
            unhook(module)
        self._modules = []
        for run in self._runs.values():
            run.method.clear()

    @property
    def _run(self) -> _Run:
        return self._runs[self._context]

    def _feeder(self, name: str, call: Call) -> Any:
        return self._run.method.feeder(name, call)

    def _block(self, index: int, call: Call) -> Any:
        return self._run.method.block(index, call)

    def _module(self, index: int, part: str, call: Call) -> Any:
        return self._run.method.module(index, part, call)

    def _step(self, call: Call) -> Any:
        """Answer for one forward of the denoiser."""
        with self._threads.enter():
            run = self._run
            clock, method = run.clock, run.method
            latents = self._latents(call.args, call.kwargs)
            timestep = self._timestep(call.args, call.kwargs)
            others = [
                value
                for value in (*call.args, *call.kwargs.values())
                if value is not latents and value is not timestep
            ]
            self._threads.check(lambda: copy(clock).tick(latents, timestep, others))
            if clock.tick(latents, timestep, others):
                run.forget()
            # Until the forward has ended well, its step counts as broken off.
            clock.broken = True
            if self._counted and clock.num_steps is not None and clock.step >= clock.num_steps:
                raise RuntimeError(
                    f"the run goes on past the {clock.num_steps} steps it was announced with; "
                    "pass the right num_steps"
                )
            step = Step(clock.step, clock.timestep, clock.num_steps, clock.next_timestep)
            method.begin(step)
            output = method.denoiser(call.args, call.kwargs, call.function)
            run.trace.record(clock.timestep, method.row(), method.candidates())
            clock.broken = False
            return output


class _Threads:
    """Refuses to serve two threads at once, whose images would be mixed up otherwise."""

    _MESSAGE = (
        "two threads run this denoiser at the same time, and its cache serves one run: give "
        "each thread a pipeline of its own, or let them take turns with a lock"
    )

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._owner: threading.Thread | None = None
        # Threads whose unfinished run was pushed aside by another thread's new one.
        self._ousted: set[threading.Thread] = set()

    @contextmanager
    def enter(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(self._MESSAGE)
        try:
            yield
        finally:
            self._busy.release()

    def check(self, starts_run: Callable[[], bool]) -> None:
        """Take note of a forward's thread; raise if it goes on with a run that is gone."""
        thread, owner = threading.current_thread(), self._owner
        if thread is owner:
            return
        # A run may move from thread to thread, as generators do, but not come back to one whose
        # own run another has pushed aside.
        if owner is not None and starts_run():
            self._ousted = {t for t in self._ousted if t.is_alive()} | {owner}
        elif thread in self._ousted:
            raise RuntimeError(self._MESSAGE)
        self._ousted.discard(thread)
        self._owner = thread


def attach(
    denoiser: nn.Module,
    config: MethodConfig | None = None,
    *,
    num_steps: int | None = None,
    scheduler: Any = None,
    trace: Watch = "last",
) -> CacheHandle | ScheduledHandle:
    """Attach a cache to a denoiser.

    Parameters
    ----------
    denoiser : nn.Module
        A ``PixArtTransformer2DModel`` or ``DiTTransformer2DModel`` of diffusers.
    config : TraCacheConfig, or another method's of :mod:`tracache.caching.methods`, optional
        The settings; the defaults of :class:`~tracache.caching.config.TraCacheConfig` if not given.
    num_steps : int, optional
        Denoising steps per run; ``last_step=True`` and Δ-DiT need it if ``scheduler`` is not given.
    scheduler : optional
        The pipeline's scheduler, which a :class:`~tracache.methods.PlannedConfig` needs: saves
        reading the timestep back from an accelerator at every step, and tells the number of steps
        and where a run begins. Without it that shows from the forwards' inputs, see
        :class:`~tracache.caching.clock.RunClock`.
    trace : {"last", "all"} or sequence of int or str, default "last"
        Which blocks' orders are recorded: of the last, of all, or of the last and of these, given
        as rows of the trace (from 0, or from the end by negative numbers) or by their labels.
        Each watched block keeps a history, which costs memory and time; the image stays the same.
        Methods that keep something of every block in any case watch them all.

    Returns
    -------
    CacheHandle, or ScheduledHandle for a PlannedConfig
        With ``trace``, ``reset()`` and ``detach()``, the first with ``context()`` too.

    Raises
    ------
    TypeError
        If the denoiser's or the configuration's class is not supported.
    ValueError
        If it has no blocks, ``last_step`` is set and the number of steps unknown, or ``trace``
        names a row that there is not.
    RuntimeError
        If a cache is already attached; from a forward, if two threads run the denoiser at
        once, or if nothing shows which run it belongs to.

    Notes
    -----
    TraCache, Eq. 5–7. At a skipped step only the last block's output is predicted; that is exact,
    since the method replaces every block's output and so only the last one is ever read. Memory:
    ``max_order + 1`` tensors of the last block's output.
    """
    config = config if config is not None else TraCacheConfig()
    if isinstance(config, PlannedConfig):
        if scheduler is None:
            raise ValueError(
                f"{type(config).__name__} acts at the scheduler: pass scheduler=…, or use "
                "tracache.accelerate(pipe, …), which takes the pipeline's"
            )
        return ScheduledHandle([denoiser], scheduler, config, trace)
    return CacheHandle(
        denoiser,
        config,
        num_steps=num_steps,
        scheduler=scheduler,
        trace=trace,
    )


#: Components of pipelines that a step skipped at the scheduler does not run.
DENOISERS = ("transformer", "transformer_2", "unet", "controlnet")


class _SchedulerOf:
    """The scheduler that a pipeline has at the moment, since it may be replaced between runs."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    @property
    def timesteps(self) -> Any:
        return getattr(getattr(self._pipe, "scheduler", None), "timesteps", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe.scheduler, name)


def make_config(**settings: Any) -> PlannedConfig | TraCacheConfig:
    """Return the configuration that settings by name belong to.

    ``space`` says which: ``"blocks"`` and ``"modules"`` are the published method's, all others
    :class:`~tracache.methods.PlannedConfig`'s. Without it, it is the published method where
    anything else of its own is set, ``stride`` and ``full_steps`` included.

    Raises
    ------
    TypeError
        If a setting is unknown.
    ValueError
        If a value is not allowed.
    """
    either = set(settings_of(PlannedConfig)) - {"stride", "full_steps", "space"}
    space = settings.get("space")
    if space is not None:
        require_choice("space", space, (BLOCKS, MODULES, OUTPUT, *SPACES))
    published = bool(set(settings) - either) if space is None else space in (BLOCKS, MODULES)
    return TraCacheConfig(**settings) if published else PlannedConfig(**settings)


@contextmanager
def accelerate(
    pipe: Any, config: MethodConfig | None = None, *, trace: Watch = "last", **settings: Any
) -> Iterator[Trace]:
    """Accelerate a diffusers pipeline within a ``with`` block.

    Parameters
    ----------
    pipe : DiffusionPipeline
        Any that has a denoiser and a scheduler whose steps are linear; as published, with a
        supported ``transformer``, whatever its scheduler.
    config : a configuration of :mod:`tracache.methods`, optional
        The settings, or give them by name instead, see :func:`make_config`: nothing for the
        defaults, ``compute=8`` for eight computed steps, ``stride=3, max_order=2`` for the method
        as published.
    trace : {"last", "all"} or sequence of int or str, default "last"
        As for :func:`attach`.

    Yields
    ------
    Trace
        Decisions of the newest run inside the block; readable after it too.

    Raises
    ------
    ValueError
        If both ``config`` and settings by name are given, a setting is not allowed, or the
        scheduler's steps are not linear where that is needed.
    TypeError
        If the pipeline has no supported denoiser, or a setting is unknown.
    """
    if config is not None and settings:
        raise ValueError("give either a config or settings by name, not both")
    config = make_config(**settings) if config is None else config
    parts = [getattr(pipe, name, None) for name in DENOISERS]
    denoisers = [part for part in parts if isinstance(part, nn.Module)]
    handle: CacheHandle | ScheduledHandle
    if isinstance(config, PlannedConfig) and denoisers:
        handle = ScheduledHandle(denoisers, pipe.scheduler, config, trace)
    elif getattr(pipe, "transformer", None) is not None:
        handle = attach(pipe.transformer, config, scheduler=_SchedulerOf(pipe), trace=trace)
    else:
        raise TypeError(f"{type(pipe).__name__} has no denoiser to accelerate")
    try:
        yield handle.trace
    finally:
        handle.detach()
