"""A method at work on a denoiser: a clock, a history and a trace for each context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

from torch import nn

from tracache.caching.checks import require_integer
from tracache.caching.clock import RunClock
from tracache.caching.config import MethodConfig
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
