"""The clips' autoencoder in Open-Sora's classes: its sizes, clips to latents and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracache.models.families.opensora.vae import VideoAutoencoder
from tracache.training.clips.data import load_clips
from tracache.training.data import rendered, save_latents
from tracache.training.images.vae import (
    LATENTS,
    build_vae,
    encode_images,
    psnr,
    to_images,
    to_tensor,
)
from tracache.training.machine import autocast, pick_device
from tracache.training.render.motion import FRAMES

TEMPORAL: dict[str, Any] = {
    "in_out_channels": LATENTS,
    "latent_embed_dim": LATENTS,
    "embed_dim": LATENTS,
    "filters": 32,
    "num_res_blocks": 1,
    "channel_multipliers": [1, 1, 2, 2],
    "temporal_downsample": [False, True, True],
    "num_groups": 8,
}
"""The temporal half: 17 frames of latents to 5 and back."""


def build_video_vae(spatial: Any = None) -> Any:
    """A fresh autoencoder of clips, around a spatial half if one is given."""
    spatial = spatial or build_vae()
    config = {k: v for k, v in spatial.config.items() if not k.startswith("_")}
    vae: Any = VideoAutoencoder(
        spatial=config,
        temporal=TEMPORAL,
        spatial_scaling_factor=1.0,
        micro_frame_size=FRAMES,
        micro_batch_size=FRAMES,
        latent_shift=[0.0] * LATENTS,
        latent_scale=[1.0] * LATENTS,
    )
    vae.spatial_vae.module.load_state_dict(spatial.state_dict())
    return vae


def load_video_vae(work: Path) -> Any:
    """The finished autoencoder of clips of a folder, float32 on the best device."""
    vae: Any = VideoAutoencoder.from_pretrained(work / "vae", torch_dtype=torch.float32)
    return vae.to(pick_device()).eval().requires_grad_(False)


@torch.no_grad()
def encode_time(vae: Any, latents: Tensor, batch: int = 64) -> Tensor:
    """Frames' latents (n, 17, 8, h, w) to clips' latents (n, 8, 5, h, w), on the CPU."""
    parts = []
    for part in latents.split(batch):
        with autocast(vae.device):
            x = part.float().to(vae.device).transpose(1, 2)
            mean = vae.temporal_vae.moments(x).float().chunk(2, 1)[0]
        parts.append(((mean - vae.shift) / vae.scale).cpu())
    return torch.cat(parts)


@torch.no_grad()
def decode_clips(vae: Any, latents: Tensor, batch: int = 8) -> np.ndarray:
    """Clips' latents (n, 8, 5, h, w) to uint8 clips (n, 17, 8h, 8w, 3)."""
    parts = []
    for part in latents.split(batch):
        with autocast(vae.device):
            pixels = vae.decode(part.to(vae.device), FRAMES)
        images = to_images(pixels.transpose(1, 2).flatten(0, 1))
        parts.append(images.reshape(len(part), FRAMES, *images.shape[1:]))
    return np.concatenate(parts)


@torch.no_grad()
def roundtrip(vae: Any, clips: np.ndarray) -> np.ndarray:
    """uint8 clips (n, 17, h, w, 3) through the autoencoder and back."""
    parts = []
    for start in range(0, len(clips), 8):
        some = clips[start : start + 8]
        x = to_tensor(some.reshape(-1, *some.shape[2:]), vae.device)
        with autocast(vae.device):
            latents = vae.encode(x.unflatten(0, (len(some), -1)).transpose(1, 2))
        parts.append(decode_clips(vae, latents.float()))
    return np.concatenate(parts)


def measure_clips(vae: Any, clips: np.ndarray) -> float:
    """PSNR in dB of an autoencoder over whole clips."""
    back = roundtrip(vae, clips)
    flat = (-1, *clips.shape[2:])
    return psnr(to_tensor(back.reshape(flat)), to_tensor(clips.reshape(flat)))


def encode_frames(vae: Any, clips: np.ndarray, count: int) -> Tensor:
    """Latents of the first clips' frames by a spatial half: bfloat16 (count, 17, 8, h, w)."""
    parts = []
    for start in range(0, count, 64):
        frames = clips[start : min(start + 64, count)]
        latents = encode_images(vae, frames.reshape(-1, *frames.shape[2:])).bfloat16()
        parts.append(latents.unflatten(0, (len(frames), -1)))
    return torch.cat(parts)


def encode_clips(work: Path) -> None:
    """Encode all clips once: ``latents.pt``, bfloat16 (n, 8, 5, 8, 8)."""
    vae, kept = load_video_vae(work), work / "spatial_latents.pt"
    if kept.exists():  # trained here, and not taken from the assets
        latents = torch.load(kept, weights_only=True)
    else:
        latents = encode_frames(vae.spatial_vae.module, load_clips(work), rendered(work))
    save_latents(encode_time(vae, latents), work)
