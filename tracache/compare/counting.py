"""How much of a pipeline's denoisers ran, in blocks and in multiply–accumulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from tracache.caching import pipeline
from tracache.caching.discover import discover_blocks
from tracache.caching.layouts import block_equivalents, count_module_calls, has_parts
from tracache.compare.arm import Setup


def denoisers_of(pipe: Any) -> list[nn.Module]:
    """Return what a pipeline's scheduler calls at each step: a transformer, a UNet, or several."""
    return [*pipeline.denoisers_of(pipe).values(), *pipeline.companions_of(pipe).values()]


def is_declared(pipe: Any) -> bool:
    """Whether the parts of a pipeline's blocks are known by name."""
    return all(map(has_parts, denoisers_of(pipe)))


@contextmanager
def count_blocks(pipe: Any) -> Iterator[Callable[[], float]]:
    """Count the blocks of a pipeline's denoisers that compute, cache or no cache.

    Yields
    ------
    callable
        ``blocks()``: how many so far. Where the parts of blocks are known by name, a part that
        computes counts as that share of its block; elsewhere a block counts whole, by the first
        layer in it.
    """
    if is_declared(pipe):
        with ExitStack() as stack:
            calls = [stack.enter_context(count_module_calls(d)) for d in denoisers_of(pipe)]
            yield lambda: sum(map(block_equivalents, calls))
        return
    count = 0

    def note(*_: Any) -> None:
        nonlocal count
        count += 1

    blocks = [block for denoiser in denoisers_of(pipe) for block in block_lists(denoiser)]
    hooks = [_first_layer(block).register_forward_hook(note) for block in blocks]
    try:
        yield lambda: float(count)
    finally:
        for hook in hooks:
            hook.remove()


def block_lists(denoiser: nn.Module) -> list[nn.Module]:
    """Return the blocks of a denoiser, or itself where it has none."""
    try:
        return [block.module for block in discover_blocks(denoiser)]
    except TypeError:
        return [denoiser]


def _first_layer(block: nn.Module) -> nn.Module:
    """What runs wherever the block does: a cache may answer for the block, but not for this."""
    layers = (m for m in block.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Conv3d))
    return next(layers, block)


@dataclass(frozen=True)
class StepMacs:
    """Multiply–accumulates of one step, all products and linear only.

    Attributes
    ----------
    full : (int, int)
        Of a computed one.
    skipped : dict
        Of one that is skipped, by whether that is at the scheduler.
    """

    full: tuple[int, int]
    skipped: dict[bool, tuple[int, int]]

    def of(self, computed: int, setup: Setup) -> tuple[int, int]:
        """Return (all, linear) of a denoising loop in which so many steps computed."""
        left = setup.num_steps - computed
        at_scheduler = setup.cache is not None and setup.cache.at_scheduler
        # What nobody skips was not counted.
        skipped = self.skipped.get(at_scheduler, (0, 0))
        of_full, of_linear = (
            computed * full + left * one for full, one in zip(self.full, skipped, strict=True)
        )
        return of_full, of_linear
