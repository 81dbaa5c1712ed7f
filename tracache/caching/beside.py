"""Blocks watched beside a plan: the orders that the published method would have chosen.

Where trajectories are the scheduler's, no block's matters to the picture. To show them all the
same, blocks are observed at the steps that compute, and at the others Eq. 7 is asked which order it
would have chosen for each. Costs a history of each watched block, and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tracache.caching.config import TraCacheConfig
from tracache.caching.hooks import Detour, hook_module, unhook
from tracache.caching.methods.base import Call, Stack, Step, Watch
from tracache.caching.methods.tracache import Forecast
from tracache.caching.rules.trajectory import choose_order
from tracache.caching.tail import is_feature
from tracache.caching.trace import UNTRACED


class _Observed(Forecast):
    """Sees what blocks of any denoiser return at computed steps, and answers for none.

    Of a block that returns several tensors the largest is watched, the last of these: the picture
    rather than the text. A step counts a block's first call.
    """

    needs = ""

    def _share_out(self, rows: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return rows, rows

    def clear(self) -> None:
        super().clear()
        self._seen: set[int] = set()
        self._computing = False
        self._judge = self.trajectories[-1]
        #: Watched rows that the last computed step did not run, as where another expert did.
        self.missing: tuple[int, ...] = ()

    def begin(self, step: Step) -> None:
        if self._computing:
            self._line_up()
        self._seen = set()
        super().begin(step)
        self._computing = not self.skipping

    def block(self, index: int, call: Call) -> Any:
        output = call()
        tensors = [x for x in pytree.tree_leaves(output) if is_feature(x)]
        if index in self._places and index not in self._seen and tensors:
            largest = max(x.numel() for x in tensors)
            self._see(index, [x for x in tensors if x.numel() == largest][-1])
        return output

    def _see(self, index: int, features: Tensor) -> None:
        trajectory = self.trajectories[self._places[index]]
        if trajectory.points and trajectory.newest.shape != features.shape:
            trajectory.clear()
        self._seen.add(index)
        # A copy, since whoever called the block may write into it.
        self._observe(trajectory, features.detach().clone())

    def _line_up(self) -> None:
        """Line the spreads up by degree, as far as all rows that the step computed have them."""
        self.missing = tuple(row for row in self.watched if row not in self._seen)
        for row in self.missing:
            self.trajectories[self._places[row]].clear()
        seen = [self.trajectories[self._places[row]] for row in self.watched if row in self._seen]
        # All of these have the newest points in common.
        self._judge = min(seen, key=lambda t: len(t.points), default=self._judge)
        by_row = [t.spreads[: self._judge.order] for t in seen]
        self._spreads = [torch.stack(spreads) for spreads in zip(*by_row, strict=True)]

    def _choose_orders(self) -> Any:
        return choose_order(self._spreads, self._judge.factors(self._point), False)

    def rows(self) -> tuple[Tensor, Tensor | None]:
        """Return the orders [watched] of a skipped step, and their spreads [orders, watched]."""
        differences = self._judge.differences
        device = differences[0].device if differences else None
        orders = torch.full((len(self.watched),), UNTRACED, device=device)
        present = [i for i, row in enumerate(self.watched) if row not in self.missing]
        orders[present] = torch.as_tensor(self._orders, device=device)
        if not self._spreads:
            return orders, None
        factors = self._judge.factors(self._point)
        spreads = torch.full((len(factors), len(orders)), math.nan, device=device)
        for n, (spread, factor) in enumerate(zip(self._spreads, factors, strict=True)):
            spreads[n, present] = (spread * abs(factor)).float()
        return orders, spreads


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
        stack = Stack.of(denoiser)
        self._method = _Observed(TraCacheConfig.published(), stack, watch)
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

    def orders(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What would have been chosen at a skipped step, and from what.

        Returns
        -------
        Tensor [watched], Tensor [orders, watched] or None
            Orders, ``UNTRACED`` of blocks that the last computed step did not run; what each
            order was judged by, as :meth:`Method.candidates` gives it.
        """
        return self._method.rows()

    def detach(self) -> None:
        """Give the blocks their own forwards back and free what was kept."""
        for block in self._blocks:
            unhook(block)
        self._blocks = ()
        self._method.clear()
