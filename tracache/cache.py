"""The cache: trajectories attached to a transformer's blocks.

At a computed step every block runs and the last block's output joins its trajectory. At a skipped
step no block runs: the last one answers with the extrapolation of its trajectory and the others
hand their input on, since nothing of theirs would reach the output. Nor do the modules run that
only feed blocks, such as the patch embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tracache.blocks import find_blocks, find_feeders
from tracache.clock import RunClock
from tracache.config import TraCacheConfig, require_choice, require_integer
from tracache.hooks import BlockHook, FeederHook, StepHook, hook_modules, is_hooked, unhook
from tracache.schedule import is_full
from tracache.trace import Trace
from tracache.trajectory import Order, Trajectory, choose_order

TRACES = ("last", "all")


class CacheHandle:
    """One cache on one transformer; made by :func:`attach`.

    The state resets itself whenever a new run starts (see :class:`~tracache.clock.RunClock`).

    Attributes
    ----------
    config : TraCacheConfig
        The settings.
    trace : Trace
        Decisions of the current or last run; the next run rewrites it in place.
    skipping : bool
        Whether the forward under way, or the last one, is a skipped step's.
    """

    def __init__(
        self,
        transformer: nn.Module,
        config: TraCacheConfig,
        *,
        num_steps: int | None = None,
        scheduler: Any = None,
        trace: str = "last",
    ) -> None:
        require_choice("trace", trace, TRACES)
        if num_steps is not None:
            require_integer("num_steps", num_steps, 1, 100_000)
        if config.last_step and num_steps is None and scheduler is None:
            raise ValueError(
                "last_step=True needs the number of steps: pass num_steps=… or scheduler=…, "
                "or use tracache.accelerate(pipe, …), which reads it from the pipeline"
            )
        blocks, feeders = find_blocks(transformer), find_feeders(transformer)
        self._modules: list[nn.Module] = [transformer, *feeders, *blocks]
        if any(is_hooked(module) for module in self._modules):
            raise RuntimeError("a cache is already attached to this transformer; detach it first")
        self.config = config
        self._clock = RunClock(scheduler, num_steps)
        # The last block makes the image. The others are watched only to show their orders.
        watched = len(blocks) if trace == "all" else 1
        self._first_watched = len(blocks) - watched
        self.trace = Trace(len(blocks), watched)
        depth = 0 if config.rule == "reuse" else config.max_order
        self._trajectories = [Trajectory(depth, config.rule) for _ in range(watched)]
        self.skipping = False
        self._order: Order = 0
        self._spreads: list[Tensor] = []
        hook_modules({transformer: StepHook(self, transformer)})
        hook_modules({feeder: FeederHook(self) for feeder in feeders})
        hook_modules({block: BlockHook(self, index) for index, block in enumerate(blocks)})

    @property
    def attached(self) -> bool:
        """Whether the transformer still runs through this cache."""
        return bool(self._modules)

    def reset(self) -> None:
        """Forget the run: its history, its step count and its trace."""
        self._clock.reset()
        self._forget()

    def detach(self) -> None:
        """Give the transformer its own forwards back and free the history; the trace stays."""
        for module in self._modules:
            unhook(module)
        self._modules = []
        for trajectory in self._trajectories:
            trajectory.clear()
        self._spreads = []

    def _forget(self) -> None:
        for trajectory in self._trajectories:
            trajectory.clear()
        self._spreads = []
        self.trace.clear()

    # What the hooks call, in the order of one forward.

    def begin_step(self, latents: Tensor, timestep: Any) -> None:
        """Decide whether the coming forward computes or predicts, and with which order."""
        clock, config = self._clock, self.config
        if clock.tick(latents, timestep):
            self._forget()
        # Until the forward has ended well, its step counts as broken off.
        clock.broken = True
        if config.last_step and clock.num_steps is not None and clock.step >= clock.num_steps:
            raise RuntimeError(
                f"the run goes on past the {clock.num_steps} steps it was announced with; "
                "pass the right num_steps"
            )
        self.skipping = not is_full(
            clock.step, config.stride, config.warmup, config.last_step, clock.num_steps
        )
        if self.skipping:
            orders = self._choose_orders()
            self._order = orders if isinstance(orders, int) else orders[-1]
            self.trace.record_skipped(clock.timestep, orders)
        else:
            self.trace.record_computed(clock.timestep)

    def run_feeder(self, compute: Callable[[], Any]) -> Any:
        """Answer for a module that only feeds blocks."""
        # At a skipped step its output goes unread; the newest features stand in for it, since
        # they have the shape and the dtype that the code between it and the blocks expects.
        return self._trajectories[-1].differences[0] if self.skipping else compute()

    def run_block(self, index: int, hidden_states: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Answer for one block: its own output at a computed step, a stand-in at a skipped one."""
        last = index == self.trace.num_blocks - 1
        if self.skipping:
            if not last:
                return hidden_states
            return self._trajectories[-1].predict(self._clock.timestep, self._order)
        output = compute()
        if index >= self._first_watched:
            dynamic = self.config.order == "dynamic"
            trajectory = self._trajectories[index - self._first_watched]
            trajectory.observe(self._clock.timestep, output, spreads=dynamic)
            if last and dynamic:
                by_block = zip(*(t.spreads for t in self._trajectories), strict=True)
                self._spreads = [torch.stack(spreads) for spreads in by_block]
        return output

    def end_step(self) -> None:
        """Note that the forward came to its end."""
        self._clock.broken = False

    def _choose_orders(self) -> Order:
        last = self._trajectories[-1]
        if self.config.order == "fixed":
            return last.order
        factors = last.factors(self._clock.timestep)
        return choose_order(self._spreads, factors, self.config.local_extrapolation)


def attach(
    transformer: nn.Module,
    config: TraCacheConfig | None = None,
    *,
    num_steps: int | None = None,
    scheduler: Any = None,
    trace: str = "last",
) -> CacheHandle:
    """Attach a cache to a diffusion transformer.

    Parameters
    ----------
    transformer : nn.Module
        A ``PixArtTransformer2DModel`` or ``DiTTransformer2DModel`` of diffusers.
    config : TraCacheConfig, optional
        The settings; the defaults of :class:`~tracache.config.TraCacheConfig` if not given.
    num_steps : int, optional
        Denoising steps per run; needed for ``last_step=True`` if ``scheduler`` is not given.
    scheduler : optional
        The pipeline's scheduler: saves reading the timestep back from an accelerator at every
        step, and tells the number of steps.
    trace : {"last", "all"}, default "last"
        Which blocks' orders are recorded. ``"all"`` keeps a history for every block, which costs
        memory and time; the image stays the same.

    Returns
    -------
    CacheHandle
        With ``trace``, ``reset()`` and ``detach()``.

    Raises
    ------
    TypeError
        If the transformer's class is not supported.
    ValueError
        If it has no blocks, or ``last_step`` is set and the number of steps unknown.
    RuntimeError
        If a cache is already attached.

    Notes
    -----
    TraCache, Eq. 5–7. At a skipped step only the last block's output is predicted; that is exact,
    since the method replaces every block's output and so only the last one is ever read. Memory:
    ``max_order + 1`` tensors of the last block's output.
    """
    return CacheHandle(
        transformer,
        config if config is not None else TraCacheConfig(),
        num_steps=num_steps,
        scheduler=scheduler,
        trace=trace,
    )


class _SchedulerOf:
    """The scheduler that a pipeline has at the moment, since it may be replaced between runs."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    @property
    def timesteps(self) -> Any:
        return getattr(getattr(self._pipe, "scheduler", None), "timesteps", None)


@contextmanager
def accelerate(
    pipe: Any, config: TraCacheConfig | None = None, *, trace: str = "last", **settings: Any
) -> Iterator[Trace]:
    """Accelerate a diffusers pipeline within a ``with`` block.

    Parameters
    ----------
    pipe : DiffusionPipeline
        With a supported ``transformer`` and a ``scheduler``.
    config : TraCacheConfig, optional
        The settings, or give them by name instead: ``accelerate(pipe, stride=3, max_order=2)``.
    trace : {"last", "all"}, default "last"
        As for :func:`attach`.

    Yields
    ------
    Trace
        Decisions of the newest run inside the block; readable after it too.

    Raises
    ------
    ValueError
        If both ``config`` and settings by name are given, or a setting is not allowed.
    TypeError
        If the pipeline has no supported transformer, or a setting is unknown.
    """
    if config is not None and settings:
        raise ValueError("give either a config or settings by name, not both")
    transformer = getattr(pipe, "transformer", None)
    if transformer is None:
        raise TypeError(f"{type(pipe).__name__} has no transformer to accelerate")
    handle = attach(
        transformer,
        config if config is not None else TraCacheConfig(**settings),
        scheduler=_SchedulerOf(pipe),
        trace=trace,
    )
    try:
        yield handle.trace
    finally:
        handle.detach()
