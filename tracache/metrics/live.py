"""The peak of tensors alive at once, on any device, the meta device included."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass
class Live:
    """Bytes of tensors that were made in the measured block.

    Attributes
    ----------
    now, peak : int
        Alive, and most at once.
    """

    now: int = 0
    peak: int = 0


@contextmanager
def count_live() -> Iterator[Live]:
    """Follow the memory of every tensor that is made while the block runs.

    Attention is taken to keep no scores, as its fused kernels do not, and gives no numbers. What
    kernels take besides, and what an allocator cannot fill, does not show.
    """
    live = Live()
    with _Fused(), _Following(live):
        yield live


class _Fused(TorchFunctionMode):
    """Attention without its scores."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer for attention, and let everything else run."""
        kwargs = kwargs or {}
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, _, value = (*args, *(kwargs[name] for name in _QKV[len(args) :]))[:3]
        return query.new_empty(*query.shape[:-1], value.shape[-1])


_QKV = ("query", "key", "value")


class _Following(TorchDispatchMode):
    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live
        self._known: set[int] = set()
        self._foreign: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note what it made."""
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._known:
                self._foreign.add(tensor.untyped_storage()._cdata)
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or key in self._foreign:
            return
        self._known.add(key)
        self._live.now += size
        self._live.peak = max(self._live.peak, self._live.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live.now -= size
