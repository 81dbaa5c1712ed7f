"""A method at work on a denoiser: a clock, a history and a trace for each context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any

from torch import nn

from tracache.caching.calls import Calls
from tracache.caching.checks import require_integer, require_no_wrapper
from tracache.caching.clock import RunClock
from tracache.caching.hooks import DenoiserDetour, Detour, hook_module, is_hooked, unhook
from tracache.caching.layouts import find_parts
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods import check_config, make_method
from tracache.caching.methods.base import Call, Stack, Step, Watch
from tracache.caching.threads import Threads
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
        require_no_wrapper(denoiser)
        self._counted = config.needs_num_steps
        if self._counted and num_steps is None and scheduler is None:
            raise ValueError(
                f"{self._counted} needs the number of steps: pass num_steps=… or scheduler=…, "
                "or use tracache.accelerate(pipe, …), which reads it from the pipeline"
            )
        self._stack = stack = Stack.of(denoiser, scheduler)
        self.config = config
        self._new_run: Callable[[], _Run] = lambda: _Run(
            config, stack, RunClock(scheduler, num_steps), trace
        )
        self._runs: dict[str | None, _Run] = {}
        self._calls: dict[str | None, Calls[_Run]] = {}
        self.set_context(None)
        self._active = self._runs[None]
        self._threads = Threads()
        #: ``hold(inputs, time)`` holds what the run shares with others for one forward.
        self.hold: Callable[[Iterable[Any], Any], AbstractContextManager[None]]
        self.hold = lambda inputs, time: nullcontext()
        self._modules: list[nn.Module] = []
        self._attach(denoiser)

    def _attach(self, denoiser: nn.Module) -> None:
        stack = self._stack
        hooks: dict[nn.Module, Detour] = {denoiser: DenoiserDetour(self, self._step)}
        for index, feeder in enumerate(stack.feeders):
            hooks[feeder.module] = Detour(partial(self._feeder, index))
        by_modules = self._run.method.takes_modules
        for index, block in enumerate(stack.blocks):
            hooks[block] = Detour(partial(self._block, index), compiled=not by_modules)
        if by_modules:
            for index, parts in enumerate(find_parts(denoiser)):
                for part, module in parts.items():
                    hooks[module] = Detour(partial(self._module, index, part))
        if any(is_hooked(module) for module in hooks):
            raise RuntimeError("a cache is already attached to this denoiser; detach it first")
        try:
            for module, hook in hooks.items():
                self._modules.append(module)
                hook_module(module, hook)
        except BaseException:
            # An interrupt too: nobody would have a handle to take off what is on already.
            self.detach()
            raise

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
        """Decisions by context; None is the one without a name.

        Of calls of one step that bear the same name, or none, the second is ``"call 2"``, or
        ``"cond, call 2"``.
        """
        found = {name: run.trace for name, run in self._runs.items()}
        for name, calls in self._calls.items():
            for number, run in enumerate(calls.runs[1:], start=2):
                found[", ".join(filter(None, (name, f"call {number}")))] = run.trace
        return found

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
        if name in self._runs:
            return
        self._runs[name] = first = self._new_run()
        self._calls[name] = Calls(partial(self._of_call, name), self._stack.scheduler)
        unnamed = self._runs[None]
        if name is not None and len(self._runs) == 2 and not len(unnamed.trace):
            # Whoever holds the handle's trace already sees the first context that is used.
            first.trace, unnamed.trace = unnamed.trace, first.trace

    def _of_call(self, name: str | None, ordinal: int) -> _Run:
        return self._new_run() if ordinal else self._runs[name]

    @property
    def _all_runs(self) -> list[_Run]:
        others = [run for calls in self._calls.values() for run in calls.runs[1:]]
        return [*self._runs.values(), *others]

    def reset(self) -> None:
        """Forget the run: its history, its step count and its trace."""
        self.forget()
        for run in self._all_runs:
            run.trace.clear()

    def forget(self) -> None:
        """Forget the run's history and its step count; the trace can still be read."""
        for run in self._all_runs:
            run.clock.reset()
            run.method.clear()

    def detach(self) -> None:
        """Give the denoiser its own forwards back and free the history; the trace stays."""
        for module in self._modules:
            unhook(module)
        self._modules = []
        for run in self._all_runs:
            run.method.clear()

    @property
    def _run(self) -> _Run:
        return self._runs[self._context]

    def _feeder(self, index: int, call: Call) -> Any:
        return self._active.method.feeder(index, call)

    def _block(self, index: int, call: Call) -> Any:
        return self._active.method.block(index, call)

    def _module(self, index: int, part: str, call: Call) -> Any:
        return self._active.method.module(index, part, call)

    def _step(self, call: Call) -> Any:
        """Answer for one forward of the denoiser."""
        arguments = self._stack.arguments
        named = arguments.named(call.args, call.kwargs)
        with self._threads.enter(), self.hold(named.values(), named.get(arguments.time)):
            latents, timestep = named.get(arguments.latents), named.get(arguments.time)
            others = [x for x in named.values() if x is not latents and x is not timestep]
            calls = self._calls[self._context]
            signature = arguments.signature(call.args, call.kwargs)
            self._active = run = calls.pick(timestep, others, signature)
            clock, method = run.clock, run.method
            if self._threads.clashed:
                self._threads.clashed = False
                clock.forgive()
            told = latents, calls.timestep, others, signature

            def starts_run() -> bool:
                try:
                    return copy(clock).tick(*told)
                except RuntimeError:
                    clock.broken = True
                    raise

            self._threads.check(starts_run)
            if clock.tick(*told):
                run.forget()
                calls.started(run)
            # Until the forward has ended well, its step counts as broken off.
            clock.broken = True
            if self._counted and clock.num_steps is not None and clock.step >= clock.num_steps:
                raise RuntimeError(
                    f"the run goes on past the {clock.num_steps} steps it was announced with; "
                    "pass the right num_steps"
                )
            ahead = clock.num_steps, clock.next_timestep, clock.done
            method.begin(Step(clock.step, clock.timestep, *ahead))
            output = method.denoiser(call.args, call.kwargs, call.function)
            run.trace.watched = list(method.watched)
            if method.watched:
                # What makes the image is watched in any case, and comes last.
                run.trace.main = method.watched[-1]
            run.trace.record(clock.timestep, method.row(), method.candidates())
            clock.broken = False
            return output
