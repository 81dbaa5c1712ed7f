"""Any published pipeline with random weights, as far as speed and memory go by its shapes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from tracache.models.families.stock import EMBEDDED, READ, StockFamily
from tracache.models.pipeline_shapes import assemble, text_of
from tracache.models.pipelines import PublishedPipeline

#: What configurations call the length of a stack of blocks.
DEPTHS = ("num_layers", "num_single_layers", "n_layers", "n_refiner_layers", "num_refiner_layers")


class RandomStock(StockFamily):
    """Drives a pipeline that has nothing to read prompts with: what they would say is made up.

    Parameters
    ----------
    published : PublishedPipeline
        Says what text looks like.
    """

    def __init__(self, published: PublishedPipeline) -> None:
        super().__init__()
        self._published = published

    def encode(
        self,
        pipe: Any,
        prompts: Sequence[Any],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Return random embeddings, the same for every prompt."""
        generator = torch.Generator().manual_seed(0)
        denoiser = getattr(pipe, self._published.part)

        def make(name: str, shape: tuple[int, ...]) -> Tensor:
            if "mask" in name:
                made = torch.ones(1, *shape, dtype=torch.long, device=denoiser.device)
            else:
                made = torch.randn(1, *shape, generator=generator)
                made = made.to(denoiser.device, denoiser.dtype)
            return made.expand(len(prompts), *shape)

        takes = inspect.signature(type(pipe).__call__).parameters
        return {
            "prompt": list(prompts),
            "max_sequence_length": max_tokens,
            "guidance_scale": guidance_scale,
            READ: {},
            EMBEDDED: text_of(self._published, takes, guidance_scale, make),
        }


def shorten(published: PublishedPipeline, layers: int | None) -> PublishedPipeline:
    """Return a pipeline whose denoiser has at most so many blocks in each of its stacks.

    Raises
    ------
    ValueError
        If the length of its stacks is not written down by a number.
    """
    if layers is None:
        return published
    name, config = published.denoiser
    takes = inspect.signature(getattr(diffusers, name).__init__).parameters
    long = {depth: config.get(depth, takes[depth].default) for depth in DEPTHS if depth in takes}
    if not long:
        raise ValueError(f"{name} has no stacks of blocks to shorten: leave out the layers")
    short = {depth: min(layers, count) for depth, count in long.items()}
    return replace(published, denoiser=(name, {**config, **short}))


def count_parameters(part: tuple[str, Any]) -> int:
    """Parameters of a denoiser or autoencoder, counted without making them."""
    with torch.device("meta"):
        made = getattr(diffusers, part[0])(**part[1])
    return sum(parameter.numel() for parameter in made.parameters())


def build_random(published: PublishedPipeline, device: torch.device, dtype: torch.dtype) -> Any:
    """Build a pipeline with random weights, made on the device itself."""
    parts = []
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        for name, config in (published.denoiser, published.vae):
            with torch.device(device):
                parts.append(getattr(diffusers, name)(**config).eval().requires_grad_(False))
    finally:
        torch.set_default_dtype(before)
    for part in parts:
        # Parts that were made in a format of their own; past diffusers' own method, which warns.
        nn.Module.to(part, device, dtype)
    return assemble(getattr(diffusers, published.pipeline), published, *parts)
