"""Where the blocks of a transformer are, and how its forward names its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Layout:
    """Names of a transformer's attributes.

    Attributes
    ----------
    blocks : str
        The ``nn.ModuleList`` of blocks.
    feeders : tuple of str
        Paths of modules whose output nothing but the blocks reads, so that they need not run
        where no block does; one that is None is passed over.
    """

    blocks: str
    feeders: tuple[str, ...]


#: What is known of a transformer: where its blocks are, and which modules feed only them. Each
#: block takes ``hidden_states`` first and returns the new hidden states alone; a family whose
#: blocks differ needs an adapter.
LAYOUTS = {
    "PixArtTransformer2DModel": Layout(
        "transformer_blocks", ("pos_embed", "caption_projection", "adaln_single.linear")
    ),
    # The output head of DiT reads an embedding inside its first block, which thus stays in place.
    "DiTTransformer2DModel": Layout("transformer_blocks", ("pos_embed",)),
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
    name = find_layout(transformer).blocks
    blocks = getattr(transformer, name, None)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) == 0:
        raise ValueError(f"{type(transformer).__name__}.{name} holds no blocks")
    return blocks


def find_feeders(transformer: nn.Module) -> list[nn.Module]:
    """Return the modules of a supported transformer that feed only its blocks."""
    feeders = (attrgetter(path)(transformer) for path in find_layout(transformer).feeders)
    return [feeder for feeder in feeders if feeder is not None]


def find_layout(transformer: nn.Module) -> Layout:
    """Return the layout of a supported transformer, or raise TypeError listing those there are."""
    # A subclass of a supported transformer keeps its forward, so it is supported too.
    for cls in type(transformer).__mro__:
        if cls.__name__ in LAYOUTS:
            return LAYOUTS[cls.__name__]
    raise TypeError(
        f"no blocks recognised in {type(transformer).__name__}; "
        f"supported transformers: {', '.join(LAYOUTS)}"
    )


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
