"""Train the text-to-video transformer, and with it the text encoder, on encoded clips."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.training.clips.data import load_captions
from tracache.training.denoise import CONDITION_DROP, load_average, split_optimisers
from tracache.training.images.vae import LATENTS
from tracache.training.optim import Budget, Run, autocast, pick_device, step_generator
from tracache.training.render.clips import vocabulary
from tracache.training.render.motion import FPS, SIZE
from tracache.training.text import TEXT_WIDTH, build_text_encoder, build_tokenizer, tokenize

TOKENS = 24
"""Tokens of a prompt; an orbit takes 11 words and the end mark."""
DEPTH = 6
"""Pairs of a spatial and a temporal block."""
TIME_MEAN, TIME_SPREAD = 0.2, 1.3
"""Noise levels are drawn logit-normally: most of them where motions and shapes are decided."""


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
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    kernel = model.x_embedder.proj.weight
    nn.init.xavier_uniform_(kernel.view(len(kernel), -1))
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


def noise_levels(count: int, generator: torch.Generator) -> Tensor:
    """Draw noise levels in 0..1, one per equal slice of their distribution."""
    slices = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    normal = math.sqrt(2.0) * torch.erfinv((2.0 * slices - 1.0).clamp(-0.9999, 0.9999))
    return (TIME_MEAN + TIME_SPREAD * normal).sigmoid()


def add_noise(clean: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents on the straight way from clean to noise, and the velocity back."""
    levels = levels.view(-1, *[1] * (clean.dim() - 1))
    return (1.0 - levels) * clean + levels * noise, clean - noise


def _hidden(name: str) -> bool:
    """Whether a matrix is inside the transformer's blocks, tables of shifts excepted."""
    return "_blocks." in name and "scale_shift" not in name


def build_clip_tokenizer() -> Any:
    """The tokenizer of the clips' captions."""
    return build_tokenizer(vocabulary(), TOKENS)


def train_t2v(
    work: Path,
    budget: Budget,
    batch: int = 48,
    depth: int = DEPTH,
    seed: int = 0,
    muon: float = 4e-3,
    adam: float = 1.5e-3,
    compiled: bool = False,
    name: str = "t2v.pt",
) -> None:
    """Train on ``latents.pt`` and ``captions.json`` in ``work``; resumable.

    Parameters
    ----------
    work : Path
        Work folder; the checkpoint is written there as ``name``.
    budget : Budget
        When to stop.
    batch : int, default 48
        Samples a step.
    compiled : bool, default False
        Compile the transformer's blocks: two minutes at the start, then half as fast again.
    """
    torch.manual_seed(seed)
    device = pick_device()
    latents = torch.load(work / "latents.pt", weights_only=True)
    tokenizer = build_clip_tokenizer()
    ids, mask = tokenize(tokenizer, load_captions(work)[: len(latents)])
    longest = int(mask.sum(1).max())  # padding beyond it is masked anyway, so it need not run
    ids, mask = ids[:, :longest], mask[:, :longest]
    model = TextToVideo(len(tokenizer), depth).to(device).train()
    if compiled:
        for block in (*model.transformer.spatial_blocks, *model.transformer.temporal_blocks):
            block.compile()
    run = Run(model, split_optimisers(model, _hidden, muon, adam), budget, work / name)
    total, since = 0.0, run.step  # a resumed run may start between two reports
    while not run.finished:
        g = step_generator(seed, run.step)
        index = torch.randint(len(latents), (batch,), generator=g)
        dropped = torch.rand(batch, generator=g) < CONDITION_DROP
        levels = noise_levels(batch, g)
        noise = torch.randn((batch, *latents.shape[1:]), generator=g)
        noisy, target = add_noise(latents[index].float(), noise, levels)
        inputs = (noisy, 1000.0 * levels, ids[index], mask[index], dropped)
        # Plain matrix products: on CPUs the fused kernel's backward takes half of a step.
        with autocast(device), sdpa_kernel(SDPBackend.MATH):
            out = run.module(*(x.to(device) for x in inputs))
        loss = functional.mse_loss(out.float(), target.to(device))
        run.update(loss)
        total += loss.item()
        if run.step % 50 == 0:
            rate = run.step * batch / run.elapsed
            mean = total / (run.step - since)
            print(
                f"step {run.step} {run.elapsed:.0f}s loss {mean:.4f} {rate:.1f} samples/s",
                flush=True,
            )
            total, since = 0.0, run.step
    run.save()
    report = {"steps": run.step, "samples": run.step * batch, "minutes": run.elapsed / 60}
    print(json.dumps(report), flush=True)


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
