"""Attaches a method to a denoiser, or to what a pipeline has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from tracache.caching.checks import require_choice
from tracache.caching.config import BLOCKS, MODULES, TraCacheConfig
from tracache.caching.declare import settings_of
from tracache.caching.handle import CacheHandle
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.base import Watch
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.caching.pipeline import PipelineHandle, PipelineTrace
from tracache.caching.rules.registry import BLOCK_RULES, RULES
from tracache.caching.scheduled import ScheduledHandle
from tracache.caching.spaces import SPACES


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
        Any that keeps its blocks in lists of modules, as those of diffusers do.
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
        If no blocks are found in the denoiser, its forward takes no timestep, the method needs to
        know more of its blocks than where they are, or the configuration is of no known class.
    ValueError
        If it has no blocks, ``last_step`` is set and the number of steps unknown, or ``trace``
        names a row that there is not.
    RuntimeError
        If a cache is already attached; from a forward, if two threads run the denoiser at
        once, or if nothing shows which run it belongs to.

    Notes
    -----
    TraCache, Eq. 5–7. At a skipped step only what the output reads of the blocks is predicted,
    mostly one tensor of the last; that is exact, since the method replaces every block's output.
    Which tensors those are is proved at the first computed step, see
    :mod:`tracache.caching.proof`. Memory: ``max_order + 1`` tensors of each.
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


def make_config(**settings: Any) -> PlannedConfig | TraCacheConfig:
    """Return the configuration that settings by name belong to.

    ``space`` says which: ``"blocks"`` and ``"modules"`` are the published method's, all others
    :class:`~tracache.methods.PlannedConfig`'s. Without it, it is the published method where
    anything else of its own is set, ``stride``, ``full_steps``, ``rule`` and ``max_order``
    included, but for a rule that only the scheduler's trajectories have.

    Raises
    ------
    TypeError
        If a setting is unknown.
    ValueError
        If a value is not allowed.
    """
    ours = {"stride", "full_steps", "space", "rule", "max_order"}
    either = set(settings_of(PlannedConfig)) - ours
    if settings.get("rule") in set(RULES) - set(BLOCK_RULES):
        either |= {"rule", "max_order"}
    space = settings.get("space")
    if space is not None:
        require_choice("space", space, (BLOCKS, MODULES, OUTPUT, *SPACES))
    published = bool(set(settings) - either) if space is None else space in (BLOCKS, MODULES)
    return TraCacheConfig(**settings) if published else PlannedConfig(**settings)


@contextmanager
def accelerate(
    pipe: Any, config: MethodConfig | None = None, *, trace: Watch = "last", **settings: Any
) -> Iterator[PipelineTrace]:
    """Accelerate a diffusers pipeline within a ``with`` block.

    Parameters
    ----------
    pipe : DiffusionPipeline
        Any that has a denoiser: every component whose forward takes a timestep, ControlNets
        apart. By default its scheduler's steps have to be linear; as published, its scheduler
        may be any.
    config : a configuration of :mod:`tracache.methods`, optional
        The settings, or give them by name instead, see :func:`make_config`: nothing for the
        defaults, ``compute=8`` for eight computed steps, ``stride=3, max_order=2`` for the method
        as published.
    trace : {"last", "all"} or sequence of int or str, default "last"
        As for :func:`attach`.

    Yields
    ------
    PipelineTrace
        Decisions of the newest run inside the block; readable after it too. It is the trace of
        the pipeline's first denoiser, mostly the only one; ``traces`` has those of all by the
        names of the pipeline's components, as ``transformer`` and ``transformer_2``.

    Raises
    ------
    ValueError
        If both ``config`` and settings by name are given, a setting is not allowed, or the
        scheduler's steps are not linear where that is needed.
    TypeError
        If the pipeline has no denoiser, the method does not take one that it has, or a setting is
        unknown.

    Notes
    -----
    Where two denoisers take turns in one run, as the experts of Wan 2.2, a plan goes through the
    whole run. As published, each has a history of its own, and so computes its first step;
    ``compute`` is then shared out between them.
    """
    if config is not None and settings:
        raise ValueError("give either a config or settings by name, not both")
    config = make_config(**settings) if config is None else config
    handle = PipelineHandle(pipe, config, trace)
    try:
        yield handle.trace
    finally:
        handle.detach()
