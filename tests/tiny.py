"""Tiny transformers and a bare denoising loop for tests of the engine."""

from __future__ import annotations

import torch
from diffusers import (
    DDIMScheduler,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    PixArtTransformer2DModel,
)

from tracache.models.families.opensora.stdit3 import STDiT3


def pixart(num_layers=4):
    """A PixArt transformer with random weights everywhere, so that every block matters."""
    torch.manual_seed(1)
    model = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=num_layers,
        cross_attention_dim=16,
        caption_channels=12,
        sample_size=8,
        use_additional_conditions=False,
    )
    return randomise(model)


def dit(num_layers=4):
    """A DiT transformer with random weights everywhere."""
    torch.manual_seed(2)
    model = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=num_layers,
        sample_size=8,
        num_embeds_ada_norm=1000,
    )
    return randomise(model)


def stdit3(depth=2):
    """An STDiT3 with random weights everywhere: ``depth`` pairs of blocks."""
    torch.manual_seed(5)
    model = STDiT3(
        depth=depth, hidden_size=16, num_heads=2, caption_channels=12, model_max_length=5
    )
    return randomise(model)


def randomise(model):
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


def conditions(model, batch=2):
    """What the transformer's forward takes beside latents and timestep."""
    generator = torch.Generator().manual_seed(3)
    dtype = next(model.parameters()).dtype
    if isinstance(model, STDiT3):
        return {
            "y": torch.randn(batch, 1, 5, 12, generator=generator),
            "fps": torch.tensor([24.0]),
            "height": torch.tensor([64.0]),
            "width": torch.tensor([64.0]),
        }
    if isinstance(model, DiTTransformer2DModel):
        return {"class_labels": torch.randint(0, 1000, (batch,), generator=generator)}
    return {"encoder_hidden_states": torch.randn(batch, 5, 12, generator=generator).to(dtype)}


def scheduler(name):
    """A scheduler; ``uneven`` has steps of very different lengths."""
    if name == "dpm":
        return DPMSolverMultistepScheduler()
    return DDIMScheduler(clip_sample=False)


UNEVEN = [995, 980, 901, 893, 850, 700, 666, 540, 512, 430, 300, 287, 200, 111, 90, 40, 33, 5]


@torch.no_grad()
def denoise(model, kind="ddim", num_steps=12, batch=2, size=8, stop=None, made=None):
    """Run a loop as the pipelines do; return the final latents.

    ``stop`` raises after that many steps, as a cancelled callback would; ``made`` is a scheduler
    made elsewhere, for caches that watch it.
    """
    made = made or scheduler(kind)
    if kind == "uneven":
        made.set_timesteps(len(UNEVEN))
        made.timesteps = torch.tensor(UNEVEN)
    else:
        made.set_timesteps(num_steps)
    generator = torch.Generator().manual_seed(4)
    dtype = next(model.parameters()).dtype
    frames = (3,) if isinstance(model, STDiT3) else ()
    latents = torch.randn(batch, 4, *frames, size, size, generator=generator).to(dtype)
    inputs = conditions(model, batch)
    for i, t in enumerate(made.timesteps):
        noise = model(latents, timestep=t[None].expand(batch), **inputs)
        # Of the video model's output, the first half is what sampling takes.
        noise = noise[:, :4] if isinstance(model, STDiT3) else noise.sample
        latents = made.step(noise, t, latents).prev_sample.to(dtype)
        if stop is not None and i + 1 == stop:
            raise InterruptedError
    return latents
