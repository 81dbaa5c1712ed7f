"""Calibration of MagCache: how much what the blocks change grows or shrinks at each step.

Record a few runs of full compute, then take the mean:

>>> runs = []
>>> for prompt in prompts:
...     with record_ratios(pipe.transformer) as ratios:
...         pipe(prompt)
...     runs.append(ratios)
>>> config = MagCacheConfig(ratios=mean_ratios(runs))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from tracache.caching.layouts import find_blocks, find_layout

#: Added to a size that is divided by, which may be nought.
TINY = 1e-8


@contextmanager
def record_ratios(denoiser: nn.Module) -> Iterator[list[float]]:
    """Record, at every forward of one run, the size of what the blocks change over that before.

    Parameters
    ----------
    denoiser : nn.Module
        One whose blocks are known to return their hidden states alone; no cache attached.

    Yields
    ------
    list of float
        One per forward: the mean over all tokens of ‖r_t‖ / ‖r_{t−1}‖; the first is 1.

    Raises
    ------
    TypeError
        If the denoiser's blocks are not known.
    """
    find_layout(denoiser)
    blocks = find_blocks(denoiser)
    ratios: list[float] = []
    entered: list[Tensor] = []
    sizes: list[Tensor] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        entered[:] = [args[0] if args else kwargs["hidden_states"]]

    def leave(module: nn.Module, args: tuple, output: Tensor) -> None:
        size = (output - entered.pop()).detach().float().norm(dim=-1)
        ratio = (size / (sizes[0] + TINY)).mean().item() if sizes else 1.0
        ratios.append(ratio)
        sizes[:] = [size]

    hooks = [
        blocks[0].register_forward_pre_hook(enter, with_kwargs=True),
        blocks[-1].register_forward_hook(leave),
    ]
    try:
        yield ratios
    finally:
        for hook in hooks:
            hook.remove()


def mean_ratios(runs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the mean ratio of each step over some runs.

    Raises
    ------
    ValueError
        If there is no run, or they differ in length.
    """
    if not runs or not runs[0] or len({len(run) for run in runs}) != 1:
        raise ValueError("ratios are the mean of runs of equally many steps, of at least one")
    return tuple(sum(step) / len(runs) for step in zip(*runs, strict=True))
