"""Blocks watched beside a plan: the orders that the published method would have chosen.

Where trajectories are the scheduler's, no block's matters to the picture. To show them all the
same, blocks are observed at the steps that compute, and at the others Eq. 7 is asked which order it
would have chosen for each. Costs what :class:`~tracache.caching.methods.tracache.BlockForecast`
keeps of each watched block, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from tracache.caching.config import TraCacheConfig
from tracache.caching.hooks import Detour, hook_module, unhook
from tracache.caching.layouts import find_blocks, find_layout
from tracache.caching.methods.base import Stack, Step, Watch
from tracache.caching.methods.tracache import BlockForecast


class BlocksBeside:
    """Observes the blocks of one denoiser.

    Parameters
    ----------
    denoiser : nn.Module
        Whose blocks are watched.
    watch : "all" or sequence of int or str
        Which, as for :func:`tracache.attach`.

    Attributes
    ----------
    labels : tuple of str
        The blocks' names.
    watched : tuple of int
        Those that are watched, rising.
    item : int
        Of a batch, whose orders are shown.

    Raises
    ------
    TypeError, ValueError
        If the denoiser has no blocks that can be watched.
    """

    def __init__(self, denoiser: nn.Module, watch: Watch) -> None:
        stack = Stack(tuple(find_blocks(denoiser)), find_layout(denoiser))
        self._method = BlockForecast(TraCacheConfig.published(), stack, watch)
        self._blocks = stack.blocks
        self.labels, self.watched = stack.block_labels, self._method.watched
        self.item = 0 if stack.layout.conditional_first else -1
        for index, block in enumerate(self._blocks):
            hook_module(block, Detour(partial(self._method.block, index)))

    def begin(self, step: int, timestep: float, plan: Sequence[int]) -> None:
        """Take note of the step that comes next, before the denoiser would run.

        Parameters
        ----------
        step : int
            Its index in the run; 0 begins a new one.
        timestep : float
            What the scheduler hands to the denoiser.
        plan : sequence of int
            Steps that compute, as far as is known.
        """
        if step == 0:
            self._method.clear()
        self._method.config = replace(self._method.config, full_steps=(0, *plan[1:]))
        self._method.begin(Step(step, timestep, None))

    def orders(self) -> torch.Tensor:
        """What would have been chosen at a skipped step: [watched] or [watched, batch]."""
        orders = self._method.row()
        if isinstance(orders, torch.Tensor):
            return orders
        return torch.full((len(self.watched),), int(orders))

    def candidates(self) -> Any:
        """What each order was judged by, as :meth:`Method.candidates` gives it."""
        return self._method.candidates()

    def detach(self) -> None:
        """Give the blocks their own forwards back and free what was kept."""
        for block in self._blocks:
            unhook(block)
        self._blocks = ()
        self._method.clear()
