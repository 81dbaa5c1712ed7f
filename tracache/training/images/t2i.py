"""Train the text-to-image transformer, and with it the text encoder, on encoded pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel
from torch import Tensor, nn

from tracache.training.denoise import (
    SCHEDULE,
    load_average,
    prepare,
    split_optimisers,
    train_loop,
    xavier,
)
from tracache.training.images.data import load_captions
from tracache.training.images.vae import LATENTS
from tracache.training.optim import Budget, Run, pick_device
from tracache.training.text import TEXT_WIDTH, build_text_encoder, build_tokenizer, tokenize


def build_transformer(layers: int = 11, heads: int = 5, head_dim: int = 32) -> Any:
    """A fresh transformer: 16x16 latents in patches of 2, so 64 tokens.

    diffusers' own initialisation trains badly at this size. Xavier matrices, and zeros wherever a
    branch writes into the residual stream for the first time, train well.
    """
    model: Any = PixArtTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=LATENTS,
        out_channels=LATENTS,
        num_layers=layers,
        cross_attention_dim=heads * head_dim,
        sample_size=16,
        patch_size=2,
        caption_channels=TEXT_WIDTH,
        use_additional_conditions=False,
    )
    xavier(model)
    nn.init.normal_(model.adaln_single.linear.weight, std=0.02)
    nn.init.zeros_(model.proj_out.weight)
    for block in model.transformer_blocks:
        nn.init.zeros_(block.attn2.to_out[0].weight)
    return model


def build_scheduler() -> Any:
    """The sampler the model is shipped with; its noise schedule is the one trained on."""
    return DPMSolverMultistepScheduler(**SCHEDULE, solver_order=2)


class TextToImage(nn.Module):
    """Text encoder and transformer as one module, because they are trained together."""

    def __init__(self, words: int, layers: int = 11) -> None:
        super().__init__()
        self.text = build_text_encoder(words)
        self.transformer = build_transformer(layers)

    def forward(self, latents: Tensor, times: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Predicted velocity (n, 8, 16, 16) of noisy latents at times (n,) given tokens (n, 20)."""
        features = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.transformer(
            latents,
            encoder_hidden_states=features,
            encoder_attention_mask=mask,
            timestep=times,
            return_dict=False,
        )[0]


def _hidden(name: str) -> bool:
    """Whether a matrix is inside the transformer's blocks, tables of shifts excepted."""
    return name.startswith("transformer.transformer_blocks") and "scale_shift" not in name


def train_t2i(
    work: Path,
    budget: Budget,
    batch: int = 48,
    layers: int = 11,
    seed: int = 0,
    muon: float = 4e-3,
    adam: float = 1.5e-3,
    compiled: bool = False,
    shared: bool = False,
    name: str = "t2i.pt",
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
        Compile the transformer's blocks: half a minute at the start for a faster run after it.
    shared : bool, default False
        The CPU is shared with others: keep choosing the faster number of threads. Costs exact
        reproducibility, because sums then depend on the choice.
    """
    torch.manual_seed(seed)
    device = pick_device()
    latents = torch.load(work / "latents.pt", weights_only=True)
    tokenizer = build_tokenizer()
    ids, mask = tokenize(tokenizer, load_captions(work))
    empty_ids, empty_mask = tokenize(tokenizer, [""])
    longest = int(mask.sum(1).max())  # padding beyond it is masked anyway, so it need not run
    ids, mask = ids[:, :longest], mask[:, :longest]
    empty_ids, empty_mask = empty_ids[:, :longest], empty_mask[:, :longest]
    model = TextToImage(len(tokenizer), layers).to(device).train()
    prepare(model.transformer, device, compiled)
    run = Run(model, split_optimisers(model, _hidden, muon, adam), budget, work / name)

    def condition(index: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        words = torch.where(dropped[:, None], empty_ids, ids[index])
        return words, torch.where(dropped[:, None], empty_mask, mask[index])

    train_loop(run, latents, build_scheduler().alphas_cumprod, condition, batch, seed, shared)


def load_trained(path: Path, layers: int = 11) -> tuple[TextToImage, dict]:
    """Averaged weights of a checkpoint as a module, and the run's figures (step, elapsed)."""
    model = TextToImage(len(build_tokenizer()), layers)
    figures = load_average(model, path)
    return model.eval(), figures
