"""Train the clips' autoencoder, in Open-Sora's classes: frames first, then time.

The spatial half starts from the pictures' autoencoder, which knows the same solids and grounds. The
temporal half learns on the spatial half's latents, which is cheap, and last on pixels, together
with the spatial decoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from tracache.training.clips.codec import (
    build_video_vae,
    encode_clips,
    encode_time,
    measure_clips,
)
from tracache.training.clips.data import load_clips, rendered
from tracache.training.images.vae import (
    _loss,
    build_vae,
    encode_images,
    evaluate_average,
    normalise_latents,
    optimisers,
    to_tensor,
)
from tracache.training.optim import Budget, Muon, Run, autocast, pick_device, step_generator
from tracache.training.render.motion import FRAMES
from tracache.training.render.scenes import ASSETS

HOLDOUT = 256
"""Clips at the end of the training set that the autoencoder never trains on."""
SPATIAL_SHARE = 0.4
"""Share of the budget that goes to the spatial half."""
PIXELS_FROM = 0.5
"""Share of the temporal half's budget after which it also learns on pixels."""


def train_spatial(
    work: Path,
    budget: Budget,
    batch: int = 32,
    seed: int = 0,
    muon: float = 2e-3,
    adam: float = 1e-3,
) -> None:
    """Train on single frames of the clips in ``work``; resumable.

    Writes the checkpoint ``spatial.pt`` and, at the end, the folder ``spatial`` in the diffusers
    layout, with latents normalised to mean 0 and standard deviation 1 per channel.
    """
    torch.manual_seed(seed)
    device, clips = pick_device(), load_clips(work)
    vae = build_vae().to(device).train()
    start = AutoencoderKL.from_pretrained(ASSETS / "scenes-t2i" / "vae", torch_dtype=torch.float32)
    vae.load_state_dict(start.state_dict())
    run = Run(vae, optimisers(vae, muon, adam), budget, work / "spatial.pt", decay=0.995)
    usable, frames = rendered(work) - HOLDOUT, clips.shape[1]
    test = to_tensor(clips[usable : usable + 8, ::2].reshape(-1, *clips.shape[2:]), device)
    while not run.finished:
        g = step_generator(seed, run.step)
        which = torch.randint(usable, (batch,), generator=g).numpy()
        when = torch.randint(frames, (batch,), generator=g).numpy()
        pixels = np.stack([clips[i, j] for i, j in zip(which, when, strict=True)])
        loss = _loss(vae, to_tensor(pixels, device), g, device)
        run.update(loss)
        if run.step % 50 == 0:
            note = ""
            if run.step % 250 == 0:
                note = f" unseen {evaluate_average(run.average, test):.2f} dB"
            print(f"step {run.step} {run.elapsed:.0f}s loss {loss.item():.4f}{note}", flush=True)
    run.save()
    finish_spatial(work)


def finish_spatial(work: Path) -> None:
    """Write ``work/spatial`` and every clip's latents ``spatial_latents.pt``, bfloat16."""
    device, clips, count = pick_device(), load_clips(work), rendered(work)
    vae = build_vae()
    _copy_average(vae, work / "spatial.pt")
    vae = vae.to(device).eval()
    latents = encode_images(vae, clips[: min(count, 512), ::4].reshape(-1, *clips.shape[2:]))
    mean, std = latents.mean((0, 2, 3)).to(device), latents.std((0, 2, 3)).to(device)
    normalise_latents(vae, mean, std)
    vae.save_pretrained(work / "spatial")
    parts = []
    for start in range(0, count, 64):
        frames = clips[start : min(start + 64, count)]
        latents = encode_images(vae, frames.reshape(-1, *frames.shape[2:])).bfloat16()
        parts.append(latents.unflatten(0, (len(frames), -1)))
    torch.save(torch.cat(parts), work / "spatial_latents.pt")


def load_spatial(work: Path) -> Any:
    """The finished spatial half, float32 on the best device."""
    vae = AutoencoderKL.from_pretrained(work / "spatial", torch_dtype=torch.float32)
    return vae.to(pick_device()).eval().requires_grad_(False)


def _copy_average(module: nn.Module, path: Path) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(state["average"][name])


def _temporal_optimisers(vae: Any, muon: float, adam: float) -> list[torch.optim.Optimizer]:
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in vae.temporal_vae.named_parameters():
        outer = "conv_in" in name or "conv_out" in name or "quant" in name or "conv2.conv" in name
        outer = outer and "res_blocks" not in name
        (hidden if p.ndim >= 2 and not outer else rest).append(p)
    pixels = [p for p in vae.spatial_vae.parameters() if p.requires_grad]
    return [
        Muon(hidden, lr=muon),
        torch.optim.AdamW(
            [{"params": rest, "lr": adam}, {"params": pixels, "lr": 0.3 * adam}],
            betas=(0.9, 0.98),
            weight_decay=0.0,
        ),
    ]


def _temporal_loss(vae: Any, latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Loss on the frames' latents (n, 17, 8, h, w), and those latents as they come back."""
    x = latents.transpose(1, 2)
    with autocast(x.device):
        mean, logvar = vae.temporal_vae.moments(x).float().chunk(2, 1)
        logvar = logvar.clamp(-20.0, 10.0)
        noise = torch.randn(mean.shape, generator=generator).to(x.device)
        y = vae.temporal_vae.decode(mean + (0.5 * logvar).exp() * noise, x.shape[2])
    kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
    off = y.float() - x
    return off.square().mean() + 0.3 * off.abs().mean() + 3e-4 * kl, y.transpose(1, 2)


def _pixel_loss(vae: Any, latents: Tensor, pixels: Tensor) -> Tensor:
    """Loss on frames (n, 3, h, w) decoded from their own latents."""
    with autocast(latents.device):
        y = vae.spatial_vae.module.decode(latents).sample
    off = y.float() - pixels
    edges = off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean()
    return off.abs().mean() + 4.0 * off.square().mean() + 0.5 * edges


def train_temporal(
    work: Path,
    budget: Budget,
    batch: int = 16,
    seed: int = 0,
    muon: float = 4e-3,
    adam: float = 2e-3,
    frames: int = 2,
) -> None:
    """Train the temporal half on ``spatial_latents.pt``; resumable.

    Writes the checkpoint ``temporal.pt`` and, at the end, the folder ``vae``, latents normalised.

    Parameters
    ----------
    frames : int, default 2
        Frames of every clip that are decoded to pixels, once pixels count.
    """
    torch.manual_seed(seed)
    device, clips = pick_device(), load_clips(work)
    latents = torch.load(work / "spatial_latents.pt", weights_only=True)
    vae = build_video_vae(load_spatial(work)).to(device).train()
    vae.spatial_vae.module.encoder.requires_grad_(False)
    vae.spatial_vae.module.quant_conv.requires_grad_(False)
    run = Run(vae, _temporal_optimisers(vae, muon, adam), budget, work / "temporal.pt", 0.995)
    usable = len(latents) - HOLDOUT
    while not run.finished:
        g = step_generator(seed, run.step)
        which = torch.randint(usable, (batch,), generator=g)
        loss, back = _temporal_loss(vae, latents[which].float().to(device), g)
        plain = loss.item()
        if budget.progress(run.step, run.elapsed) >= PIXELS_FROM:
            when = torch.stack([torch.randperm(FRAMES, generator=g)[:frames] for _ in which])
            rows = torch.arange(batch)[:, None]
            wanted = clips[which[:, None].expand_as(when).numpy(), when.numpy()]
            pixels = to_tensor(wanted.reshape(-1, *wanted.shape[2:]), device)
            loss = loss + 2.0 * _pixel_loss(vae, back[rows, when].flatten(0, 1), pixels)
        run.update(loss)
        if run.step % 50 == 0:
            note = ""
            if run.step % 250 == 0:
                note = f" unseen {_unseen(run, clips[usable : usable + 8]):.2f} dB"
            print(
                f"step {run.step} {run.elapsed:.0f}s latents {plain:.4f} "
                f"all {loss.item():.4f}{note}",
                flush=True,
            )
    run.save()
    finish_video_vae(work)


def _unseen(run: Run, clips: np.ndarray) -> float:
    vae = build_video_vae().to(pick_device()).eval()
    run.average.copy_to(vae)
    return measure_clips(vae, clips)


def finish_video_vae(work: Path) -> None:
    """Write ``work/vae`` from the checkpoint's averaged weights, latents normalised."""
    vae = build_video_vae()
    _copy_average(vae, work / "temporal.pt")
    vae = vae.to(pick_device()).eval()
    latents = torch.load(work / "spatial_latents.pt", weights_only=True)[:1024]
    z = encode_time(vae, latents)
    mean, std = z.mean((0, 2, 3, 4)).tolist(), z.std((0, 2, 3, 4)).tolist()
    vae.shift.copy_(torch.tensor(mean).view(1, -1, 1, 1, 1))
    vae.scale.copy_(torch.tensor(std).view(1, -1, 1, 1, 1))
    vae.register_to_config(latent_shift=mean, latent_scale=std)
    vae.save_pretrained(work / "vae")
    clips = load_clips(work)[rendered(work) - HOLDOUT : rendered(work)]
    print(f"autoencoder: {measure_clips(vae, clips[:64]):.2f} dB on unseen clips", flush=True)


def train_clip_vae(work: Path, budget: Budget, seed: int = 0, **settings: Any) -> None:
    """Train both halves, one after the other, and encode all clips; resumable."""
    for share, half in ((SPATIAL_SHARE, train_spatial), (1.0 - SPATIAL_SHARE, train_temporal)):
        part = Budget(
            minutes=budget.minutes and share * budget.minutes,
            steps=budget.steps and max(round(share * budget.steps), 1),
            warmup=50,
        )
        half(work, part, seed=seed, **settings)
    encode_clips(work)
