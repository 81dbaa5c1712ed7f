"""How near an image, or its latents, come to a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)


@dataclass(frozen=True)
class Quality:
    """PSNR in dB (inf where the images are the same) and SSIM (1 where they are)."""

    psnr: float
    ssim: float


def image_quality(image: Image, reference: Image) -> Quality:
    """Compare two images of the same size, over all channels, with values from 0 to 255.

    Raises
    ------
    ValueError
        If their sizes differ.
    """
    if image.size != reference.size:
        raise ValueError(f"sizes differ: {image.size} and {reference.size}")
    a, b = (
        torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float()
        for picture in (image, reference)
    )
    psnr = peak_signal_noise_ratio(a, b, data_range=255.0)
    ssim = structural_similarity_index_measure(a, b, data_range=255.0)
    assert isinstance(ssim, Tensor)
    return Quality(psnr.item(), ssim.item())


def relative_error(latents: Tensor, reference: Tensor) -> float:
    """‖latents − reference‖ / ‖reference‖, in float32."""
    reference = reference.float()
    return ((latents.float() - reference).norm() / reference.norm()).item()
