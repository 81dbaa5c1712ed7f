"""Latents to pixels, in float32 where half precision overflows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def decode_latents(vae: Any, latents: Tensor) -> Tensor:
    """Decode; once more in float32 if float16 was too narrow for it.

    Parameters
    ----------
    vae : AutoencoderKL
        Is in its own format again afterwards.
    latents : Tensor [batch, channels, height, width]
        Already divided by the VAE's scaling factor.

    Returns
    -------
    Tensor [batch, 3, height, width]
        Pixels, −1 … 1.
    """
    pixels = vae.decode(latents, return_dict=False)[0]
    dtype = vae.dtype
    # Only float16 overflows; asking elsewhere would make the host wait for nothing.
    if dtype != torch.float16 or torch.isfinite(pixels).all():
        return pixels
    vae.to(torch.float32)
    try:
        return vae.decode(latents.float(), return_dict=False)[0]
    finally:
        vae.to(dtype)
