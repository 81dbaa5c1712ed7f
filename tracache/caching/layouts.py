"""What some methods need to know of a denoiser beside where its blocks are: parts, modulation.

Trajectories of blocks, of outputs or at the scheduler need none of it: what they need is found, see
:mod:`tracache.caching.discover`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from tracache.caching.discover import discover_blocks


@dataclass(frozen=True)
class Layout:
    """Names of a denoiser's attributes, and what its blocks are like.

    Attributes
    ----------
    blocks : tuple of str
        The ``nn.ModuleList`` of blocks; where there are several, their blocks run in turn.
    parts : dict of str to str
        The attentions and the MLP of a block in the order they run, by the names that methods
        know them by (``attn1`` is self-attention, ``attn2`` cross-attention, ``ff`` the MLP), and
        their attributes; each answers with a tensor of the shape of its first argument, and acts
        on every token of the block.
    kinds : tuple of str
        What the blocks of each list are called, where there are several.
    text_feeders : tuple of str
        Paths of modules whose output only the cross-attention of blocks reads, so that they need
        not run where that does not; one that is None is passed over.
    conditional_first : bool
        Whether the first half of a batch under classifier-free guidance is the conditional one.
    modulated : callable
        ``modulated(block, hidden_states, kwargs)``: what the block's self-attention would read,
        the normed input modulated by the timestep's embedding.
    """

    parts: dict[str, str]
    text_feeders: tuple[str, ...]
    conditional_first: bool
    modulated: Callable[[nn.Module, Tensor, dict[str, Any]], Tensor]
    blocks: tuple[str, ...] = ("transformer_blocks",)
    kinds: tuple[str, ...] = ("",)

    def label(self, index: int, part: str = "") -> str:
        """Name a block, counted within its kind from 0, or a part of it."""
        number, kind = divmod(index, len(self.kinds))
        return " ".join(filter(None, (str(number), self.kinds[kind], part)))


def _pixart_modulated(block: Any, hidden_states: Tensor, kwargs: dict[str, Any]) -> Tensor:
    embedding = kwargs["timestep"].reshape(hidden_states.shape[0], 6, -1)
    shift, scale = (block.scale_shift_table[None] + embedding)[:, :2].chunk(2, dim=1)
    return block.norm1(hidden_states) * (1 + scale) + shift


def _dit_modulated(block: Any, hidden_states: Tensor, kwargs: dict[str, Any]) -> Tensor:
    return block.norm1(
        hidden_states,
        kwargs["timestep"],
        kwargs["class_labels"],
        hidden_dtype=hidden_states.dtype,
    )[0]


def _stdit3_modulated(block: Any, hidden_states: Tensor, kwargs: dict[str, Any]) -> Tensor:
    table = block.scale_shift_table + kwargs["modulation"]
    shift, scale = table.unsqueeze(-2).unbind(-3)[:2]
    normed = functional.layer_norm(hidden_states, hidden_states.shape[-1:], eps=1e-6)
    if table.dim() == 4:
        normed = normed.unflatten(1, (kwargs["frames"], -1))
    return (normed * (1 + scale) + shift).reshape(hidden_states.shape)


#: What is known of a denoiser, by the name of its class. Each block takes ``hidden_states``
#: first and returns the new hidden states alone; a family whose blocks differ needs an adapter.
LAYOUTS = {
    "PixArtTransformer2DModel": Layout(
        parts={"attn1": "attn1", "attn2": "attn2", "ff": "ff"},
        text_feeders=("caption_projection",),
        conditional_first=False,
        modulated=_pixart_modulated,
    ),
    "DiTTransformer2DModel": Layout(
        parts={"attn1": "attn1", "ff": "ff"},
        text_feeders=(),
        conditional_first=True,
        modulated=_dit_modulated,
    ),
    "STDiT3": Layout(
        blocks=("spatial_blocks", "temporal_blocks"),
        kinds=("spatial", "temporal"),
        parts={"attn1": "attn", "attn2": "cross_attn", "ff": "mlp"},
        text_feeders=("y_embedder",),
        conditional_first=True,
        modulated=_stdit3_modulated,
    ),
}


def _unknown(block: nn.Module, hidden_states: Tensor, kwargs: dict[str, Any]) -> Tensor:
    raise TypeError(f"nothing is known of how {type(block).__name__} modulates its input")


#: What is known of a denoiser that is not declared: nothing. Its blocks are discovered.
UNKNOWN = Layout(parts={}, text_feeders=(), conditional_first=False, modulated=_unknown, blocks=())


def known_layout(denoiser: nn.Module) -> Layout:
    """Return the layout of a denoiser, or :data:`UNKNOWN`."""
    # A subclass of a declared denoiser keeps its forward, so it is known too.
    names = [cls.__name__ for cls in type(denoiser).__mro__]
    return next((LAYOUTS[name] for name in names if name in LAYOUTS), UNKNOWN)


def has_parts(denoiser: nn.Module) -> bool:
    """Whether the attentions and the MLP of a denoiser's blocks are known by name."""
    return known_layout(denoiser) is not UNKNOWN


def find_blocks(denoiser: nn.Module) -> list[nn.Module]:
    """Return the blocks of a denoiser: in the order they run where that is declared.

    Raises
    ------
    TypeError
        If none are declared, and none found.
    ValueError
        If they are declared and a stack is empty, or they differ in length.
    """
    layout = known_layout(denoiser)
    if layout is UNKNOWN:
        return [block.module for block in discover_blocks(denoiser)]
    stacks = [getattr(denoiser, name, None) for name in layout.blocks]
    for name, stack in zip(layout.blocks, stacks, strict=True):
        if not isinstance(stack, nn.ModuleList) or len(stack) == 0:
            raise ValueError(f"{type(denoiser).__name__}.{name} holds no blocks")
    return [block for group in zip(*stacks, strict=True) for block in group]


def find_text_feeders(denoiser: nn.Module) -> dict[str, nn.Module]:
    """Return the modules whose output only cross-attention reads, by path, as far as declared."""
    paths = known_layout(denoiser).text_feeders
    modules = {path: attrgetter(path)(denoiser) for path in paths}
    return {path: module for path, module in modules.items() if module is not None}


def find_parts(denoiser: nn.Module) -> list[dict[str, nn.Module]]:
    """Return the attentions and the MLP of every block, by name."""
    parts = find_layout(denoiser).parts.items()
    return [
        {part: getattr(block, attribute) for part, attribute in parts}
        for block in find_blocks(denoiser)
    ]


def find_layout(denoiser: nn.Module) -> Layout:
    """Return the layout of a declared denoiser, or raise TypeError listing those there are."""
    layout = known_layout(denoiser)
    if layout is UNKNOWN:
        raise TypeError(
            f"the parts of {type(denoiser).__name__}'s blocks are not known; "
            f"they are of {', '.join(LAYOUTS)}"
        )
    return layout


@contextmanager
def count_module_calls(denoiser: nn.Module) -> Iterator[list[dict[str, float]]]:
    """Count how often the attentions and the MLP of each block compute, cache or no cache.

    Yields
    ------
    list of dict of str to float
        Calls so far, by block and part; a call for some of the tokens, or of the batch, counts as
        that share of one. Updated while the context is open.
    """
    modules = find_parts(denoiser)
    calls = [dict.fromkeys(parts, 0.0) for parts in modules]
    sizes: dict[str, int] = {}

    def count(index: int, part: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            tokens = output[..., 0].numel()
            calls[index][part] += tokens / sizes.setdefault(part, tokens)

        return hook

    # A cache stands in for a module's forward, so what only computing reaches is watched: the
    # projection of an attention's queries, and the first layer of an MLP.
    handles = [
        _core(module).register_forward_hook(count(index, part))
        for index, parts in enumerate(modules)
        for part, module in parts.items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def block_equivalents(calls: list[dict[str, float]]) -> float:
    """Return module calls in units of whole blocks: the mean over a block's parts."""
    return sum(sum(parts.values()) / len(parts) for parts in calls)


def _core(module: Any) -> nn.Module:
    for name in ("to_q", "qkv", "q_linear", "fc1"):
        if hasattr(module, name):
            return getattr(module, name)
    return module.net[0]
