"""Train the text-to-video transformer, and with it the text encoder, on encoded clips."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.training.data import load_captions, load_latents
from tracache.training.denoise import Flow, train_denoiser, xavier
from tracache.training.fit import Effort, load_average
from tracache.training.images.vae import LATENTS
from tracache.training.machine import pick_device
from tracache.training.render.clips import vocabulary
from tracache.training.render.motion import FPS, SIZE
from tracache.training.render.scenes import ASSETS
from tracache.training.text import (
    TEXT_WIDTH,
    build_text_encoder,
    build_tokenizer,
    load_text_encoder,
    tokenize,
    tokenize_short,
)

TOKENS = 24
"""Tokens of a prompt; an orbit takes 11 words and the end mark."""
DEPTH = 6
"""Pairs of a spatial and a temporal block."""


def build_transformer(depth: int = DEPTH, width: int = 160, heads: int = 5) -> Any:
    """A fresh transformer: 5x8x8 latents in patches of 1x2x2, so 80 tokens.

    Xavier matrices, and zeros wherever a branch writes into the residual stream for the first
    time, as with the pictures' transformer.
    """
    model: Any = STDiT3(
        depth=depth,
        hidden_size=width,
        num_heads=heads,
        in_channels=LATENTS,
        pred_sigma=False,
        caption_channels=TEXT_WIDTH,
        model_max_length=TOKENS,
        qk_norm=True,
    )
    xavier(model, model.x_embedder.proj)
    nn.init.zeros_(model.x_embedder.proj.bias)
    nn.init.normal_(model.t_block[1].weight, std=0.02)
    nn.init.zeros_(model.final_layer.linear.weight)
    for block in (*model.spatial_blocks, *model.temporal_blocks):
        nn.init.zeros_(block.cross_attn.proj.weight)
    return model


class TextToVideo(nn.Module):
    """Text encoder, transformer and the text that stands for none, trained together."""

    def __init__(self, words: int, depth: int = DEPTH) -> None:
        super().__init__()
        self.text = build_text_encoder(words)
        self.transformer = build_transformer(depth)
        self.null = nn.Parameter(torch.randn(TOKENS, TEXT_WIDTH) / TEXT_WIDTH**0.5)

    def forward(
        self, latents: Tensor, times: Tensor, ids: Tensor, mask: Tensor, dropped: Tensor
    ) -> Tensor:
        """Predicted velocity of noisy latents (n, 8, 5, 8, 8) at times (n,) in 0..1000.

        Where ``dropped``, the prompt's place is taken by the null text, under the prompt's mask.
        """
        features = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        null = self.null[: ids.shape[1]].to(features.dtype)
        features = torch.where(dropped[:, None, None], null, features)
        one = torch.ones(len(latents), device=latents.device)
        return self.transformer(
            latents,
            times,
            features[:, None],
            mask=mask,
            fps=FPS * one,
            height=SIZE * one,
            width=SIZE * one,
        )


def build_clip_tokenizer() -> Any:
    """The tokenizer of the clips' captions."""
    return build_tokenizer(vocabulary(), TOKENS)


def train_t2v(work: Path, effort: Effort, depth: int = DEPTH, name: str = "t2v.pt") -> None:
    """Train on ``latents.pt`` and ``captions.json`` in ``work``; resumable.

    Parameters
    ----------
    work : Path
        Work folder; the checkpoint is written there as ``name``.
    effort : Effort
        How long, and from where.
    depth : int, default 6
        Pairs of blocks of a model that starts from nothing.
    """
    torch.manual_seed(effort.seed)
    tokenizer, latents = build_clip_tokenizer(), load_latents(work)
    model = load_committed() if effort.from_assets else TextToVideo(len(tokenizer), depth)
    ids, mask = tokenize_short(tokenizer, load_captions(work)[: len(latents)])

    def condition(index: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        return ids[index], mask[index], dropped

    train_denoiser(model.to(pick_device()), latents, Flow(), condition, effort, work / name)


def load_committed(folder: Path = ASSETS / "scenes-t2v") -> TextToVideo:
    """The committed weights as a module, float32."""
    transformer: Any = STDiT3.from_pretrained(
        folder, subfolder="transformer", torch_dtype=torch.float32
    )
    model = TextToVideo(len(build_clip_tokenizer()), depth=1)
    model.text, model.transformer = load_text_encoder(folder), transformer
    model.null.data.copy_(transformer.y_embedder.y_embedding)
    return model


def load_trained(path: Path, depth: int = DEPTH) -> tuple[TextToVideo, dict]:
    """Averaged weights of a checkpoint as a module, and the run's figures (step, minutes).

    The null text is in its place in the transformer.
    """
    model = TextToVideo(len(build_clip_tokenizer()), depth)
    figures = load_average(model, path)
    model.transformer.y_embedder.y_embedding.copy_(model.null.detach())
    return model.eval(), figures


@torch.no_grad()
def sample(
    model: TextToVideo,
    captions: list[str],
    steps: int = 30,
    guidance: float = 4.0,
    shift: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """Latents (n, 8, 5, 8, 8) by a plain Euler loop: a check while the model is in training."""
    ids, mask = tokenize(build_clip_tokenizer(), captions)
    count = len(captions)
    noises = [
        torch.randn(8, 5, 8, 8, generator=torch.Generator().manual_seed(seed + i))
        for i in range(count)
    ]
    z = torch.stack(noises)
    s = 1.0 - torch.arange(steps + 1) / steps
    levels = shift * s / (1.0 + (shift - 1.0) * s)
    dropped = torch.arange(2 * count) >= count
    for now, after in pairwise(levels):
        times = (1000.0 * now).expand(2 * count)
        v = model(z.repeat(2, 1, 1, 1, 1), times, ids.repeat(2, 1), mask.repeat(2, 1), dropped)
        told, free = v.float().chunk(2)
        z = z + (free + guidance * (told - free)) * (now - after)
    return z
