"""Train the clips' autoencoder: first its spatial half, on single frames.

The spatial half starts from the pictures' autoencoder, which knows the same solids and grounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL

from tracache.embedded.clip_data import load_clips
from tracache.embedded.optim import Budget, Run, pick_device, step_generator
from tracache.embedded.scenes import ASSETS
from tracache.embedded.vae import (
    _loss,
    build_vae,
    encode_images,
    evaluate_average,
    normalise_latents,
    optimisers,
    to_tensor,
)

HOLDOUT = 256
"""Clips at the end of the training set that the autoencoder never trains on."""


def rendered(work: Path) -> int:
    """How many clips of the memory map are there already."""
    return int((work / "rendered.txt").read_text())


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
    usable, frames = min(len(clips), rendered(work)) - HOLDOUT, clips.shape[1]
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
    """Write ``work/spatial`` from the checkpoint's averaged weights, latents normalised."""
    device, clips = pick_device(), load_clips(work)
    state = torch.load(work / "spatial.pt", map_location="cpu", weights_only=True)
    vae = build_vae()
    with torch.no_grad():
        for name, p in vae.named_parameters():
            p.copy_(state["average"][name])
    vae = vae.to(device).eval()
    latents = encode_images(vae, clips[:512, ::4].reshape(-1, *clips.shape[2:]))
    mean, std = latents.mean((0, 2, 3)).to(device), latents.std((0, 2, 3)).to(device)
    normalise_latents(vae, mean, std)
    vae.to("cpu").save_pretrained(work / "spatial")


def load_spatial(work: Path) -> Any:
    """The finished spatial half, float32 on the best device."""
    vae = AutoencoderKL.from_pretrained(work / "spatial", torch_dtype=torch.float32)
    return vae.to(pick_device()).eval().requires_grad_(False)
