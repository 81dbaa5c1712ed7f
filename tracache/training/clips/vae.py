"""Train the clips' autoencoder, in Open-Sora's classes: frames first, then time.

The spatial half starts from the pictures' autoencoder, which knows the same solids and grounds. The
temporal half learns on the spatial half's latents, which is cheap, and last on pixels, together
with the spatial decoder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tracache.training.clips.codec import (
    build_video_vae,
    encode_frames,
    encode_time,
    load_video_vae,
    measure_clips,
)
from tracache.training.clips.data import load_clips
from tracache.training.data import rendered, written_whole
from tracache.training.fit import Budget, Effort, fit
from tracache.training.images.vae import (
    divergence,
    edges,
    fit_pictures,
    inner,
    load_vae,
    normalise_on,
    to_tensor,
)
from tracache.training.machine import pick_device
from tracache.training.optim import split_optimisers
from tracache.training.render.motion import FRAMES
from tracache.training.render.scenes import ASSETS

HOLDOUT = 256
"""Clips at the end of the training set that the autoencoder never trains on."""
SPATIAL_SHARE = 0.4
"""Share of the budget that goes to the spatial half."""
PIXELS_FROM = 0.5
"""Share of the temporal half's budget after which it also learns on pixels."""
PIXEL_FRAMES = 2
"""Frames of every clip that are decoded to pixels, once pixels count."""


def train_spatial(work: Path, effort: Effort) -> None:
    """Train on single frames of the clips in ``work``, 32 a step; resumable.

    Writes the checkpoint ``spatial.pt`` and, at the end, the folder ``spatial`` in the diffusers
    layout, with latents normalised to mean 0 and standard deviation 1 per channel, and every clip's
    latents ``spatial_latents.pt``, bfloat16.
    """
    torch.manual_seed(effort.seed)
    clips, usable = load_clips(work), rendered(work) - HOLDOUT
    if effort.from_assets:
        vae = load_video_vae(ASSETS / "scenes-t2v").spatial_vae.module
    else:
        vae = load_vae(ASSETS / "scenes-t2i")
    vae = vae.to(pick_device()).requires_grad_(True)

    def draw(generator: torch.Generator, count: int) -> np.ndarray:
        which = torch.randint(usable, (count,), generator=generator).numpy()
        when = torch.randint(clips.shape[1], (count,), generator=generator).numpy()
        return np.stack([clips[i, j] for i, j in zip(which, when, strict=True)])

    test = clips[usable : usable + 8, ::2].reshape(-1, *clips.shape[2:])
    path = work / "spatial.pt"
    fit_pictures(vae, draw, test, effort, path, batch=32, rates=(2e-3, 1e-3))
    out = work / "spatial_latents.pt"
    if not out.exists() or out.stat().st_mtime < path.stat().st_mtime:
        _finish_spatial(vae, work)


def _finish_spatial(vae: Any, work: Path) -> None:
    clips, count = load_clips(work), rendered(work)
    normalise_on(vae, clips[: min(count, 512), ::4].reshape(-1, *clips.shape[2:]))
    vae.save_pretrained(work / "spatial")
    with written_whole(work / "spatial_latents.pt") as file:
        torch.save(encode_frames(vae, clips, count), file)


def _latent_loss(vae: Any, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Loss on the frames' latents (n, 8, 17, h, w), and those latents as they come back."""
    mean, logvar = vae.temporal_vae.moments(x).float().chunk(2, 1)
    logvar = logvar.clamp(-20.0, 10.0)
    noise = torch.randn(mean.shape, generator=generator).to(x.device)
    y = vae.temporal_vae.decode(mean + (0.5 * logvar).exp() * noise, x.shape[2])
    off = y.float() - x
    return off.square().mean() + 0.3 * off.abs().mean() + 3e-4 * divergence(mean, logvar), y


def _pixel_loss(vae: Any, latents: Tensor, pixels: Tensor) -> Tensor:
    """Loss on frames (n, 3, h, w) decoded from their own latents."""
    off = vae.spatial_vae.module.decode(latents).sample.float() - pixels
    return off.abs().mean() + 4.0 * off.square().mean() + 0.5 * edges(off)


def _inner(name: str) -> bool:
    """Whether a kernel of the temporal half is Muon's to train."""
    return "res_blocks" in name or (inner(name) and "conv2.conv" not in name)


def train_temporal(work: Path, effort: Effort) -> None:
    """Train the temporal half on ``spatial_latents.pt``, 16 clips a step; resumable.

    Writes the checkpoint ``temporal.pt`` and, at the end, the folder ``vae``, latents normalised.
    """
    torch.manual_seed(effort.seed)
    device, clips, batch = pick_device(), load_clips(work), effort.batch or 16
    latents = torch.load(work / "spatial_latents.pt", weights_only=True)
    usable = len(latents) - HOLDOUT
    spatial = AutoencoderKL.from_pretrained(work / "spatial", torch_dtype=torch.float32)
    vae = build_video_vae(spatial).to(device)
    if effort.from_assets:
        committed = load_video_vae(ASSETS / "scenes-t2v").temporal_vae
        vae.temporal_vae.load_state_dict(committed.state_dict())
    vae.spatial_vae.module.encoder.requires_grad_(False)
    vae.spatial_vae.module.quant_conv.requires_grad_(False)

    def loss(generator: torch.Generator, progress: float) -> Tensor:
        which = torch.randint(usable, (batch,), generator=generator)
        x = latents[which].float().to(device).transpose(1, 2)
        loss, back = _latent_loss(vae, x, generator)
        if progress < PIXELS_FROM:
            return loss
        when = torch.stack(
            [torch.randperm(FRAMES, generator=generator)[:PIXEL_FRAMES] for _ in which]
        )
        wanted = clips[which[:, None].expand_as(when).numpy(), when.numpy()]
        pixels = to_tensor(wanted.reshape(-1, *wanted.shape[2:]), device)
        some = back.transpose(1, 2)[torch.arange(batch)[:, None], when].flatten(0, 1)
        return loss + 2.0 * _pixel_loss(vae, some, pixels)

    def check(vae: Any) -> str:
        return f"unseen {measure_clips(vae, clips[usable : usable + 8]):.2f} dB"

    decoder = [p for p in vae.spatial_vae.parameters() if p.requires_grad]
    optimisers = split_optimisers(vae.temporal_vae, _inner, 4e-3, 2e-3, slow=decoder)
    path = work / "temporal.pt"
    fit(vae, optimisers, loss, effort, path, batch=batch, decay=0.995, check=check)
    _finish_video_vae(vae, work)


@torch.no_grad()
def _finish_video_vae(vae: Any, work: Path) -> None:
    latents = torch.load(work / "spatial_latents.pt", weights_only=True)[:1024]
    z = encode_time(vae, latents)
    mean, std = z.mean((0, 2, 3, 4)).tolist(), z.std((0, 2, 3, 4)).tolist()
    vae.shift.copy_(torch.tensor(mean).view(1, -1, 1, 1, 1))
    vae.scale.copy_(torch.tensor(std).view(1, -1, 1, 1, 1))
    vae.register_to_config(latent_shift=mean, latent_scale=std)
    vae.save_pretrained(work / "vae")
    clips = load_clips(work)[rendered(work) - HOLDOUT : rendered(work)]
    print(f"autoencoder: {measure_clips(vae, clips[:64]):.2f} dB on unseen clips", flush=True)


def train_clip_vae(work: Path, effort: Effort) -> None:
    """Train both halves, one after the other; resumable."""
    whole = effort.budget
    for share, half in ((SPATIAL_SHARE, train_spatial), (1.0 - SPATIAL_SHARE, train_temporal)):
        part = Budget(
            minutes=whole.minutes and share * whole.minutes,
            steps=whole.steps and max(round(share * whole.steps), 1),
            warmup=50,
        )
        half(work, replace(effort, budget=part))
