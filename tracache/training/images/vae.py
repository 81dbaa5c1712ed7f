"""Train the autoencoder: 128x128 pictures to 16x16 latents of 8 channels and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from tracache.training.data import save_latents
from tracache.training.fit import Effort, fit
from tracache.training.images.data import fresh_renders, load_images
from tracache.training.machine import autocast, pick_device
from tracache.training.optim import split_optimisers
from tracache.training.render.scenes import ASSETS

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


def picture_loss(vae: Any, x: Tensor, generator: torch.Generator) -> Tensor:
    """Loss on pictures (n, 3, h, w) in -1..1 that go through a drawn latent and back."""
    posterior = vae.encode(x).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(x.device)
    y = vae.decode(posterior.mean + posterior.std * noise).sample.float()
    kl = divergence(posterior.mean.float(), posterior.logvar.float())
    off = y - x
    return off.abs().mean() + 4.0 * off.square().mean() + 0.5 * edges(off) + 2e-4 * kl


def edges(off: Tensor) -> Tensor:
    """Mean difference of neighbours, across and down: errors at edges count twice."""
    return off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean()


def divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """Mean divergence of a posterior from the standard normal distribution."""
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()


def inner(name: str) -> bool:
    """Whether a kernel is Muon's to train: not of the first or the last layer."""
    return not any(part in name for part in ("conv_in", "conv_out", "quant"))


def fit_pictures(
    vae: Any,
    draw: Callable[[torch.Generator, int], np.ndarray],
    test: np.ndarray,
    effort: Effort,
    path: Path,
    batch: int,
    rates: tuple[float, float],
) -> None:
    """Train an autoencoder on pictures.

    Parameters
    ----------
    draw : callable
        From random numbers and a count to so many pictures, uint8 (count, h, w, 3).
    test : numpy.ndarray
        Pictures that it never sees, for progress lines.
    batch : int
        Pictures a step, where the effort does not say.
    rates : tuple of float
        Peak learning rates of Muon and AdamW.
    """
    device, batch = vae.device, effort.batch or batch
    unseen = to_tensor(test, device)

    def loss(generator: torch.Generator, progress: float) -> Tensor:
        return picture_loss(vae, to_tensor(draw(generator, batch), device), generator)

    def check(vae: Any) -> str:
        with autocast(device):
            back = vae.decode(vae.encode(unseen).latent_dist.mode()).sample
        return f"unseen {psnr(back, unseen):.2f} dB"

    optimisers = split_optimisers(vae, inner, *rates)
    fit(vae, optimisers, loss, effort, path, batch=batch, decay=0.995, check=check)


def train_vae(work: Path, effort: Effort, holdout: int = 256) -> None:
    """Train on the pictures in ``work`` except the last ``holdout``; resumable.

    Writes the checkpoint ``vae.pt`` and, at the end, the folder ``vae`` in the diffusers layout,
    with latents normalised to mean 0 and standard deviation 1 per channel.

    Parameters
    ----------
    work : Path
        Work folder with ``images.npy``.
    effort : Effort
        How long, and from where; 8 pictures a step.
    holdout : int, default 256
        Pictures at the end that it never trains on.
    """
    torch.manual_seed(effort.seed)
    images = load_images(work)
    vae = load_vae(ASSETS / "scenes-t2i") if effort.from_assets else build_vae()
    usable = len(images) - holdout

    def draw(generator: torch.Generator, count: int) -> np.ndarray:
        return images[np.sort(torch.randint(usable, (count,), generator=generator).numpy())]

    vae = vae.to(pick_device()).requires_grad_(True)
    test = images[usable:][:64]
    fit_pictures(vae, draw, test, effort, work / "vae.pt", batch=8, rates=(4e-3, 2e-3))
    finish_vae(vae, work)


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


def roundtrip(vae: Any, images: np.ndarray) -> np.ndarray:
    """uint8 pictures (n, h, w, 3) through the autoencoder and back."""
    return decode_latents(vae, encode_images(vae, images))


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


def normalise_on(vae: Any, images: np.ndarray) -> None:
    """Normalise latents so that those of these pictures have mean 0 and deviation 1."""
    latents = encode_images(vae, images)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    normalise_latents(vae, mean.to(vae.device), std.to(vae.device))


def finish_vae(vae: Any, work: Path) -> None:
    """Write a trained autoencoder as ``work/vae``, latents normalised."""
    normalise_on(vae, load_images(work)[:2048])
    vae.to("cpu", torch.float16).save_pretrained(work / "vae")
    print(f"VAE: {measure_vae(load_vae(work)):.2f} dB on unseen renders", flush=True)


def encode_dataset(work: Path, folder: Path | None = None) -> None:
    """Encode rendered pictures once: ``latents.pt`` beside them, bfloat16 (n, 8, 16, 16).

    Parameters
    ----------
    work : Path
        Work folder with the finished autoencoder.
    folder : Path, optional
        Where the pictures are; the work folder itself where nothing is said.
    """
    folder = folder or work
    save_latents(encode_images(load_vae(work), load_images(folder)), folder)


def load_vae(work: Path) -> Any:
    """The finished autoencoder of a folder, float32 on the best device."""
    vae = AutoencoderKL.from_pretrained(work / "vae", torch_dtype=torch.float32)
    return vae.to(pick_device()).eval().requires_grad_(False)


def measure_vae(vae: Any, count: int = 256) -> float:
    """PSNR in dB of an autoencoder on fresh renders."""
    _, images = fresh_renders(count)
    return psnr(to_tensor(roundtrip(vae, images)), to_tensor(images))
