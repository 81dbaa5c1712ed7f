"""Where the blocks of a transformer are, and how its forward names its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

#: Class name → attribute that holds the blocks. Each block takes ``hidden_states`` first and
#: returns the new hidden states alone; a family whose blocks differ needs an adapter here.
BLOCKS = {
    "PixArtTransformer2DModel": "transformer_blocks",
    "DiTTransformer2DModel": "transformer_blocks",
}

#: A part of every block that runs once whenever the block computes, and never otherwise.
CORE = "attn1"


def find_blocks(transformer: nn.Module) -> nn.ModuleList:
    """Return the stack of blocks of a supported transformer.

    Raises
    ------
    TypeError
        If the transformer's class is not supported; the message lists those that are.
    ValueError
        If the class is supported and the stack is empty.
    """
    # A subclass of a supported transformer keeps its forward, so it is supported too.
    names = [cls.__name__ for cls in type(transformer).__mro__ if cls.__name__ in BLOCKS]
    if not names:
        raise TypeError(
            f"no blocks recognised in {type(transformer).__name__}; "
            f"supported transformers: {', '.join(BLOCKS)}"
        )
    blocks = getattr(transformer, BLOCKS[names[0]], None)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) == 0:
        raise ValueError(f"{type(transformer).__name__}.{BLOCKS[names[0]]} holds no blocks")
    return blocks


def argument_reader(forward: Callable[..., Any], name: str) -> Callable[[tuple, dict], Any]:
    """Return a function that reads argument ``name`` of ``forward`` from (args, kwargs)."""
    position = list(inspect.signature(forward).parameters).index(name)

    def read(args: tuple, kwargs: dict) -> Any:
        return args[position] if position < len(args) else kwargs.get(name)

    return read


@contextmanager
def count_block_calls(transformer: nn.Module) -> Iterator[list[int]]:
    """Count how often each block computes, cache or no cache.

    Yields
    ------
    list of int
        Calls per block so far; updated while the context is open.
    """
    blocks = find_blocks(transformer)
    calls = [0] * len(blocks)

    def count(index: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[index] += 1

        return hook

    handles = [
        getattr(block, CORE).register_forward_hook(count(i)) for i, block in enumerate(blocks)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
