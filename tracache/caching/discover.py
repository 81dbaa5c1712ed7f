"""Where the blocks of any denoiser are, told from its structure alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

#: What denoisers call the time, most usual first; else the first argument that speaks of it.
TIMES = ("timestep", "timesteps", "t", "vision_timesteps")
#: Arguments that say how a forward answers, not what it reads.
_WRITTEN = (bool, int, str, type(None), torch.dtype)


@dataclass(frozen=True)
class Block:
    """One block of a denoiser.

    Attributes
    ----------
    stack : str
        Path of the list that it is in.
    index : int
        Its place there.
    module : nn.Module
        The block itself.
    """

    stack: str
    index: int
    module: nn.Module

    @property
    def path(self) -> str:
        """Its path in the denoiser."""
        return f"{self.stack}.{self.index}"


def discover_blocks(denoiser: nn.Module) -> list[Block]:
    """Return the blocks of a denoiser: the items of its outermost lists of modules.

    Lists of plain linear layers are no blocks. Lists of lists are looked into. What is in a block
    is the block's own.

    Raises
    ------
    TypeError
        If it has no such list.
    """
    seen: set[nn.Module] = set()
    blocks = []
    for path, stack in _stacks(denoiser, ""):
        for index, module in stack.items():
            # A block that is in two lists, or twice in one, is the same block.
            if module not in seen:
                seen.add(module)
                blocks.append(Block(path, int(index), module))
    if not blocks:
        raise TypeError(
            f"no blocks recognised in {type(denoiser).__name__}: it has no nn.ModuleList of "
            "blocks, as PixArtTransformer2DModel has its transformer_blocks"
        )
    return blocks


def _stacks(module: nn.Module, prefix: str) -> Iterator[tuple[str, dict[str, nn.Module]]]:
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        items = dict(child.named_children()) if _is_list(child) else {}
        held = (nn.Linear, nn.ModuleList, nn.ModuleDict)
        if items and not all(isinstance(item, held) for item in items.values()):
            yield path, items
        else:
            yield from _stacks(child, f"{path}.")


def _is_list(module: nn.Module) -> bool:
    # A dictionary by number is a list with gaps.
    numbered = isinstance(module, nn.ModuleDict) and all(key.isdigit() for key in module)
    return numbered or isinstance(module, nn.ModuleList)


class Arguments:
    """Reads what a denoiser's forward is called with.

    Parameters
    ----------
    denoiser : nn.Module
        Whose forward it is.

    Attributes
    ----------
    time, latents : str
        What it calls the time, and the first argument that is not the time.

    Raises
    ------
    TypeError
        If no argument speaks of time.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        self._names = tuple(inspect.signature(denoiser.forward).parameters)
        spoken = [name for name in self._names if _is_time(name)]
        found = [name for name in (*TIMES, *spoken) if name in self._names]
        if not found:
            raise TypeError(
                f"{type(denoiser).__name__}.forward takes no timestep, so that its steps cannot "
                f"be told: its arguments are {', '.join(self._names)}"
            )
        self.time = found[0]
        self.latents = next((name for name in self._names if name != self.time), self.time)

    def named(self, args: tuple, kwargs: dict) -> dict[str, Any]:
        """Return the arguments of a call by name."""
        extra = {f"*{i}": value for i, value in enumerate(args[len(self._names) :])}
        return {**dict(zip(self._names, args, strict=False)), **extra, **kwargs}

    def signature(self, args: tuple, kwargs: dict) -> tuple[Any, ...]:
        """Return what of a call decides how the forward runs, not what it finds.

        Shapes, dtypes and devices of tensors, how they are nested, and what is written out: words,
        whole numbers, switches. Of other values, and of times, their kind.
        """
        named = self.named(args, kwargs)
        times = {name: value for name, value in named.items() if _is_time(name)}
        others = {name: value for name, value in named.items() if name not in times}
        leaves, spec = pytree.tree_flatten(others)
        kinds = [_sign(x) if isinstance(x, Tensor) else type(x) for x in times.values()]
        return (str(spec), *map(_sign, leaves), *times, *kinds)


def _is_time(name: str) -> bool:
    return name in TIMES or "time" in name or "sigma" in name


def _sign(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return tuple(leaf.shape), leaf.dtype, leaf.device
    return (type(leaf), leaf) if isinstance(leaf, _WRITTEN) else type(leaf)
