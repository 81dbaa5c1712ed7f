"""How near an image, or its latents, come to a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from tracache.media import Picture, Video, frames_of


@dataclass(frozen=True)
class Quality:
    """PSNR in dB (inf where the pictures are the same) and SSIM (1 where they are).

    Of a video, ``frames`` has the PSNR of every frame.
    """

    psnr: float
    ssim: float
    frames: tuple[float, ...] = ()


def image_quality(picture: Picture, reference: Picture) -> Quality:
    """Compare two images or videos of the same size, over all channels, from 0 to 255.

    A video's PSNR is that of the mean squared error over all its frames, its SSIM the mean.

    Raises
    ------
    ValueError
        If their sizes or lengths differ.
    """
    mine, other = frames_of(picture), frames_of(reference)
    if picture.size != reference.size or len(mine) != len(other):
        raise ValueError(
            f"sizes differ: {len(mine)} × {picture.size} and {len(other)} × {reference.size}"
        )
    a, b = (_stack(frames) for frames in (mine, other))
    psnr = peak_signal_noise_ratio(a, b, data_range=255.0)
    ssim = structural_similarity_index_measure(a, b, data_range=255.0)
    assert isinstance(ssim, Tensor)
    if not isinstance(picture, Video):
        return Quality(psnr.item(), ssim.item())
    by_frame = peak_signal_noise_ratio(
        a, b, data_range=255.0, reduction="none", dim=(1, 2, 3)
    ).tolist()
    return Quality(psnr.item(), ssim.item(), tuple(by_frame))


def _stack(frames: Sequence[Image]) -> Tensor:
    arrays = [np.array(frame.convert("RGB")) for frame in frames]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float()


def relative_error(latents: Tensor, reference: Tensor) -> float:
    """‖latents − reference‖ / ‖reference‖, in float32."""
    reference = reference.float()
    return ((latents.float() - reference).norm() / reference.norm()).item()
