"""Train the text-to-image transformer, and with it the text encoder, on encoded pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel
from torch import Tensor, nn

from tracache.training.data import load_captions, load_latents
from tracache.training.denoise import SCHEDULE, Diffusion, train_denoiser, xavier
from tracache.training.fit import Effort, load_average
from tracache.training.images.vae import LATENTS
from tracache.training.machine import pick_device
from tracache.training.render.scenes import ASSETS
from tracache.training.text import (
    TEXT_WIDTH,
    build_text_encoder,
    build_tokenizer,
    load_text_encoder,
    tokenize_short,
)

LAYERS = 11


def build_transformer(layers: int = LAYERS, heads: int = 5, head_dim: int = 32) -> Any:
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
    xavier(model, model.pos_embed.proj)
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

    def __init__(self, words: int, layers: int = LAYERS) -> None:
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


def train_t2i(work: Path, effort: Effort, layers: int = LAYERS, name: str = "t2i.pt") -> None:
    """Train on ``latents.pt`` and ``captions.json`` in ``work``; resumable.

    Parameters
    ----------
    work : Path
        Work folder; the checkpoint is written there as ``name``.
    effort : Effort
        How long, and from where.
    layers : int, default 11
        Blocks of a model that starts from nothing.
    """
    torch.manual_seed(effort.seed)
    tokenizer = build_tokenizer()
    model = load_committed() if effort.from_assets else TextToImage(len(tokenizer), layers)
    # The last row is the text without words, which stands in for a text that is dropped.
    ids, mask = tokenize_short(tokenizer, [*load_captions(work), ""])

    def condition(index: Tensor, dropped: Tensor) -> tuple[Tensor, ...]:
        rows = torch.where(dropped, len(ids) - 1, index)
        return ids[rows], mask[rows]

    noising = Diffusion(build_scheduler().alphas_cumprod)
    train_denoiser(
        model.to(pick_device()), load_latents(work), noising, condition, effort, work / name
    )


def load_committed(folder: Path = ASSETS / "scenes-t2i") -> TextToImage:
    """The committed weights as a module, float32."""
    transformer: Any = PixArtTransformer2DModel.from_pretrained(
        folder, subfolder="transformer", torch_dtype=torch.float32
    )
    model = TextToImage(len(build_tokenizer()), layers=1)
    model.text, model.transformer = load_text_encoder(folder), transformer
    return model


def load_trained(path: Path, layers: int = LAYERS) -> tuple[TextToImage, dict]:
    """Averaged weights of a checkpoint as a module, and the run's figures (step, elapsed)."""
    model = TextToImage(len(build_tokenizer()), layers)
    figures = load_average(model, path)
    return model.eval(), figures
