"""Multiply–accumulates of a real forward, on any device, the meta device included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten

#: Products of two activations: attention scores times values, fused or not.
_ATTENTION = ("bmm", "baddbmm", "attention")


@dataclass
class Macs:
    """Multiply–accumulates counted in a ``with count_macs()`` block; filled when it ends.

    Attributes
    ----------
    total : int
        All products.
    linear : int
        Products with weights only (linear layers, convolutions): the paper's convention for
        PixArt-α and DiT.
    by_operation : dict of str to int
        All products, by the operation that made them.
    excluded : int
        All products of the modules that were left out; in none of the other figures.
    """

    total: int = 0
    linear: int = 0
    by_operation: dict[str, int] = field(default_factory=dict)
    excluded: int = 0

    @property
    def attention(self) -> int:
        """Score and value products of attention."""
        return self.total - self.linear


@contextmanager
def count_macs(exclude: Sequence[nn.Module] = ()) -> Iterator[Macs]:
    """Count the multiply–accumulates of everything that runs inside the block.

    Parameters
    ----------
    exclude : sequence of nn.Module
        Modules whose work is left out.

    Yields
    ------
    Macs
        Zero until the block ends.
    """
    macs, left_out = Macs(), Macs()
    mode = _mode()
    with mode, _counting(exclude, left_out):
        yield macs
    _add(macs, mode)
    macs.total -= left_out.total
    macs.excluded = left_out.total
    macs.linear -= left_out.linear
    for name, count in left_out.by_operation.items():
        macs.by_operation[name] -= count


@contextmanager
def _counting(modules: Sequence[nn.Module], into: Macs) -> Iterator[None]:
    """Count apart what runs inside ``modules``."""
    running: dict[nn.Module, FlopCounterMode] = {}

    def before(module: nn.Module, *_: Any) -> None:
        running[module] = _mode()
        running[module].__enter__()

    def after(module: nn.Module, *_: Any) -> None:
        mode = running.pop(module)
        mode.__exit__(None, None, None)
        _add(into, mode)

    hooks = [m.register_forward_pre_hook(before) for m in modules]
    hooks += [m.register_forward_hook(after) for m in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Everything:
    """Stands in for what tells modules apart: all that runs is counted as one.

    That goes through the modules by name, which takes time, and has no end where they hold each
    other in a circle, as they do under some caches.
    """

    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _mode() -> FlopCounterMode:
    mode: Any = FlopCounterMode(display=False, custom_mapping=_CUSTOM)
    mode.mod_tracker = _Everything()
    return mode


def _add(macs: Macs, mode: FlopCounterMode) -> None:
    for operation, flops in mode.get_flop_counts().get("Global", {}).items():
        name, count = str(operation).removeprefix("aten."), flops // 2
        macs.by_operation[name] = macs.by_operation.get(name, 0) + count
        macs.total += count
        if not any(part in name for part in _ATTENTION):
            macs.linear += count


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Two products: queries with keys, and the scores with values."""
    *batch, queries, width = query
    return 2 * prod(batch) * queries * key[-2] * (width + value[-1])


#: The CPU's fused attention, which torch does not count by itself.
_CUSTOM: dict[Any, Callable[..., int]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops
}
