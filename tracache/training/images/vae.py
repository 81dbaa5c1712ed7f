"""Train the autoencoder: 128x128 pictures to 16x16 latents of 8 channels and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from tracache.training.images.data import fresh_renders, load_images
from tracache.training.optim import (
    Averaged,
    Budget,
    Muon,
    Run,
    autocast,
    pick_device,
    step_generator,
)

# diffusers' models are ``Any`` here: their mix-ins hide their methods from type checkers.

LATENTS = 8
"""Latent channels; a latent pixel stands for 8x8 picture pixels."""


def build_vae(widths: tuple[int, ...] = (16, 32, 64, 96)) -> Any:
    """A fresh autoencoder; small enough that two CPU cores decode a picture in about 20 ms."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=8,
        sample_size=128,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def to_tensor(images: np.ndarray, device: torch.device | None = None) -> Tensor:
    """uint8 (n, h, w, 3) to float32 (n, 3, h, w) in -1..1."""
    x = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2)
    return x.float().contiguous().div_(127.5).sub_(1.0)


def to_images(x: Tensor) -> np.ndarray:
    """Float (n, 3, h, w) in -1..1 to uint8 (n, h, w, 3)."""
    x = x.float().clamp(-1, 1).add(1.0).mul(127.5).round().to(torch.uint8)
    return x.permute(0, 2, 3, 1).cpu().numpy()


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in -1..1."""
    return -10.0 * math.log10(functional.mse_loss(a.float().clamp(-1, 1), b.float()).item() / 4.0)


def _loss(vae: Any, x: Tensor, generator: torch.Generator, device: torch.device) -> Tensor:
    with autocast(device):
        posterior = vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        y = vae.decode(posterior.mean + posterior.std * noise).sample
    y, mean, logvar = y.float(), posterior.mean.float(), posterior.logvar.float()
    edges = (y - x).diff(dim=-1).abs().mean() + (y - x).diff(dim=-2).abs().mean()
    kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
    return (y - x).abs().mean() + 4.0 * functional.mse_loss(y, x) + 0.5 * edges + 2e-4 * kl


def optimisers(module: nn.Module, muon: float, adam: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden kernels, AdamW for the first and last layer, norms and biases."""
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in module.named_parameters():
        outer = "conv_in" in name or "conv_out" in name or "quant" in name
        (hidden if p.ndim >= 2 and not outer else rest).append(p)
    return [
        Muon(hidden, lr=muon),
        torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train_vae(
    work: Path,
    budget: Budget,
    batch: int = 8,
    crop_until: float = 0.0,
    seed: int = 0,
    muon: float = 4e-3,
    adam: float = 2e-3,
    holdout: int = 256,
) -> None:
    """Train on the pictures in ``work`` except the last ``holdout``; resumable.

    Writes the checkpoint ``vae.pt`` and, at the end, the folder ``vae`` in the diffusers layout,
    with latents normalised to mean 0 and standard deviation 1 per channel.

    Parameters
    ----------
    work : Path
        Work folder with ``images.npy``.
    budget : Budget
        When to stop.
    batch : int, default 8
        Pictures a step.
    crop_until : float, default 0.0
        Share of the budget during which 64x64 crops (four times as many) are used.
    """
    torch.manual_seed(seed)
    device, images = pick_device(), load_images(work)
    vae = build_vae().to(device).train()
    run = Run(vae, optimisers(vae, muon, adam), budget, work / "vae.pt", decay=0.995)
    usable = len(images) - holdout
    test = to_tensor(images[-holdout:][:64], device)
    while not run.finished:
        generator = step_generator(seed, run.step)
        crop = budget.progress(run.step, run.elapsed) < crop_until
        count = batch * 4 if crop else batch
        index = torch.randint(usable, (count,), generator=generator).numpy()
        pixels = images[np.sort(index)]
        if crop:
            top, left = (8 * torch.randint(9, (2,), generator=generator)).tolist()
            pixels = pixels[:, top : top + 64, left : left + 64]
        loss = _loss(vae, to_tensor(pixels, device), generator, device)
        run.update(loss)
        if run.step % 50 == 0:
            note = ""
            if run.step % 250 == 0:
                note = f" unseen {evaluate_average(run.average, test):.2f} dB"
            print(f"step {run.step} {run.elapsed:.0f}s loss {loss.item():.4f}{note}", flush=True)
    run.save()
    finish_vae(work)


@torch.no_grad()
def evaluate_average(average: Averaged, x: Tensor) -> float:
    """PSNR in dB of the averaged weights on pictures (n, 3, h, w)."""
    vae = build_vae().to(x.device).eval()
    average.copy_to(vae)
    with autocast(x.device):
        return psnr(vae.decode(vae.encode(x).latent_dist.mode()).sample, x)


@torch.no_grad()
def encode_images(vae: Any, images: np.ndarray, batch: int = 64) -> Tensor:
    """Mean latents of uint8 pictures: float32 (n, 8, h/8, w/8), on the CPU."""
    device, parts = vae.device, []
    for start in range(0, len(images), batch):
        with autocast(device):
            x = to_tensor(images[start : start + batch], device)
            parts.append(vae.encode(x).latent_dist.mode().float().cpu())
    return torch.cat(parts)


@torch.no_grad()
def decode_latents(vae: Any, latents: Tensor, batch: int = 64) -> np.ndarray:
    """Latents (n, 8, h, w) to uint8 pictures (n, 8h, 8w, 3)."""
    parts = []
    for part in latents.split(batch):
        with autocast(vae.device):
            parts.append(to_images(vae.decode(part.to(vae.device)).sample))
    return np.concatenate(parts)


@torch.no_grad()
def normalise_latents(vae: Any, mean: Tensor, std: Tensor) -> None:
    """Bake per-channel mean and standard deviation (8,) into the two 1x1 convolutions.

    Afterwards latents have mean 0 and deviation 1, so ``scaling_factor`` is 1 and the pipeline
    needs no statistics of its own.
    """
    before, after = vae.quant_conv, vae.post_quant_conv
    before.weight[:LATENTS] /= std[:, None, None, None]
    before.bias[:LATENTS] = (before.bias[:LATENTS] - mean) / std
    before.bias[LATENTS:] -= 2.0 * std.log()  # the log-variance half
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(1)
    after.weight *= std[None, :, None, None]


def finish_vae(work: Path) -> None:
    """Write ``work/vae`` from the checkpoint's averaged weights, latents normalised."""
    device, images = pick_device(), load_images(work)
    state = torch.load(work / "vae.pt", map_location="cpu", weights_only=True)
    vae = build_vae()
    with torch.no_grad():
        for name, p in vae.named_parameters():
            p.copy_(state["average"][name])
    vae = vae.to(device).eval()
    latents = encode_images(vae, images[:2048])
    mean, std = latents.mean((0, 2, 3)).to(device), latents.std((0, 2, 3)).to(device)
    normalise_latents(vae, mean, std)
    vae.to("cpu", torch.float16).save_pretrained(work / "vae")
    print(f"VAE: {measure_vae(load_vae(work)):.2f} dB on unseen renders", flush=True)


def load_vae(work: Path) -> Any:
    """The finished autoencoder, float32 on the best device."""
    vae = AutoencoderKL.from_pretrained(work / "vae", torch_dtype=torch.float32)
    return vae.to(pick_device()).eval().requires_grad_(False)


def measure_vae(vae: Any, count: int = 256) -> float:
    """PSNR in dB of an autoencoder on fresh renders."""
    _, images = fresh_renders(count)
    out = decode_latents(vae, encode_images(vae, images))
    return psnr(to_tensor(out), to_tensor(images))
