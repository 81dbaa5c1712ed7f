"""Watching blocks after a comparison: as many at a time as the memory has room for.

Every watched block keeps the history of its outputs. Where those of all blocks do not fit at once,
the same run is repeated from the same inputs, with other blocks watched each time; what is decided
does not depend on who watches, so the rows of all runs make up the trace of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from tracache.caching.layouts import find_blocks
from tracache.caching.pipeline import first_denoiser
from tracache.caching.rules.trajectory import history_bytes
from tracache.caching.tail import is_feature
from tracache.caching.trace import Trace
from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, sample
from tracache.metrics.memory import MemoryPeak
from tracache.models.loading import LoadedModel
from tracache.models.placement import free_for_work

#: Runs that watching may take; beyond, some blocks go unwatched.
MOST_RUNS = 8


@dataclass
class Features:
    """What a block hands on, of several the most: measured, not worked out.

    Attributes
    ----------
    count : int
        Numbers in its output, batch and guidance's two halves included; 0 before it has run.
    dtype : torch.dtype
        Of its output.
    """

    count: int = 0
    dtype: torch.dtype = torch.float32


@contextmanager
def measure_features(denoisers: Iterable[nn.Module]) -> Iterator[Features]:
    """Measure the most that a block of these hands on in one tensor, while the context is open."""
    features = Features()

    def look(module: nn.Module, args: tuple, output: Any) -> None:
        for tensor in filter(is_feature, tree_leaves(output)):
            if tensor.numel() * tensor.itemsize > features.count * features.dtype.itemsize:
                features.count, features.dtype = tensor.numel(), tensor.dtype

    blocks = [b for denoiser in denoisers for b in find_blocks(denoiser)]
    hooks = [block.register_forward_hook(look) for block in blocks]
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()


def bytes_per_block(setup: Setup, features: Features) -> int:
    """Bytes of history that watching one more block takes; 0 where it takes none.

    What a method keeps of every block in any case counts for nothing.
    """
    config = setup.cache
    if config is None:
        return 0
    points = config.points_watched(setup.num_computed)
    return history_bytes(features.count, features.dtype, points) if points else 0


def free_for_histories(device: torch.device, peak: MemoryPeak) -> int:
    """Bytes that histories may take beside a run.

    Parameters
    ----------
    device : torch.device
        Where the histories will be.
    peak : MemoryPeak
        Of a run without them; what it grew by is left free for the next.
    """
    return free_for_work(device) - peak.growth


def count_rows(model: LoadedModel, setup: Setup) -> int:
    """How many rows a trace may have: blocks, and what else is extrapolated at the scheduler."""
    beside = setup.cache is not None and setup.cache.at_scheduler
    return _count_blocks(model) + beside


def _count_blocks(model: LoadedModel) -> int:
    """How many blocks a trace is about: those of the pipeline's first denoiser."""
    return len(find_blocks(first_denoiser(model.pipe)))


def make_groups(rows: int, room: int, each: int) -> tuple[tuple[int, ...], ...]:
    """Share the rows of a trace out over runs.

    Parameters
    ----------
    rows : int
        How many there are. The last is watched in every run, since the method itself does.
    room, each : int
        Bytes for histories, and of one.

    Returns
    -------
    tuple of tuple of int
        Rows to watch in each run beside the last. Where more than ``MOST_RUNS`` would be
        needed, rows evenly spaced are left; where no history fits beside the last, none is.
    """
    others = tuple(range(rows - 1))
    if each == 0:
        return (others,)
    # Room for the last row's own history, and for one in the making.
    most = max(room // each - 2, 0)
    if not most:
        return ((),)
    if len(others) > most * MOST_RUNS:
        kept = most * MOST_RUNS
        others = tuple(i * len(others) // kept for i in range(kept))
    runs = max(-(-len(others) // most), 1)
    ends = [len(others) * i // runs for i in range(runs + 1)]
    return tuple(others[a:b] for a, b in pairwise(ends))


def watch_blocks(
    model: LoadedModel,
    inputs: Inputs,
    setup: Setup,
    groups: tuple[tuple[int, ...], ...],
    *,
    title: str = "the cache",
    say: Callable[[str], None] = lambda line: None,
    check: Callable[[], None] = lambda: None,
) -> Trace | None:
    """Run a setup once for each group of blocks, untimed, and return the decisions of all.

    Parameters
    ----------
    model, inputs, setup
        As for :func:`tracache.compare.sampling.sample`.
    groups : tuple of tuple of int
        From :func:`make_groups`.
    title : str
        Of the arm, for people.
    say : callable, optional
        Is told, before each run, which blocks it watches.
    check : callable, optional
        Called after each step; what it raises ends the work.

    Returns
    -------
    Trace or None
        Equal to that of watching all blocks at once where every block is in a group; blocks in
        none are ``UNTRACED``. None without a cache.
    """
    blocks, rows = _count_blocks(model), count_rows(model, setup)
    traces = []
    for number, group in enumerate(groups):
        say(_describe(groups, number, blocks, rows, title))
        whole = len(group) == rows - 1
        done = sample(
            model,
            inputs,
            setup,
            on_step=lambda *_: check(),
            trace="all" if whole else group,
        )
        if done.trace is None:
            return None
        traces.append(done.trace)
    try:
        return Trace.merge(traces)
    except ValueError:
        # Some kernels of some devices add in another order each time, which can turn a near-tie.
        say(f"The runs of {title} did not repeat exactly: the blocks of the first one are shown")
        return Trace.merge(traces[:1])


def _describe(
    groups: tuple[tuple[int, ...], ...], number: int, blocks: int, rows: int, title: str
) -> str:
    # Where the last row is a block, it is one of those watched.
    group, watched = groups[number], sum(map(len, groups)) + (rows == blocks)
    if len(group) == rows - 1:
        return f"Watching every block of {title}, untimed"
    if not any(groups):
        last = "last block" if rows == blocks else "prediction"
        others = "those before it" if rows == blocks else "the blocks"
        return f"Watching the {last} of {title}, untimed: no memory for {others}"
    if watched < blocks:
        return (
            f"Watching {watched} of {blocks} blocks of {title}, untimed, for want of memory: run "
            f"{number + 1} of {len(groups)}"
        )
    # Where the last row is a block, it is in every run, and closes the last one's.
    end = blocks if number == len(groups) - 1 else group[-1] + 1
    return (
        f"Watching blocks {group[0] + 1}–{end} of {blocks} of {title}, untimed: run "
        f"{number + 1} of {len(groups)}"
    )
