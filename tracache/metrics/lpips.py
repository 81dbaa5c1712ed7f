"""LPIPS: how far two images are apart in the layers of a trained network (Zhang et al., 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

NETWORKS = ("alex", "vgg", "squeeze")


class LpipsMeasure:
    """LPIPS of two images of one size; 0 where they are the same.

    Parameters
    ----------
    network : {"alex", "vgg", "squeeze"}
        Whose layers; its weights are fetched when first used.

    Raises
    ------
    ValueError
        If torchvision is missing or the weights cannot be had.
    """

    def __init__(self, network: str) -> None:
        if network not in NETWORKS:
            raise ValueError(f"unknown network {network!r}; choose from {', '.join(NETWORKS)}")
        self.name = f"LPIPS ({network})"
        try:
            import torchvision  # noqa: F401 - torchmetrics' own error says less
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

            make: Any = LearnedPerceptualImagePatchSimilarity
            self._metric = make(net_type=network, normalize=True, sync_on_compute=False)
        except ImportError as error:
            raise ValueError(
                "LPIPS needs torchvision, in the version that goes with PyTorch: "
                "pip install torchvision"
            ) from error
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"the weights of {network} for LPIPS cannot be had; they are fetched from "
                f"download.pytorch.org when first used ({reason})"
            ) from error

    @torch.no_grad()
    def __call__(self, image: Image.Image, reference: Image.Image) -> float:
        """Return the distance."""
        self._metric.reset()
        self._metric.update(_pixels(image), _pixels(reference))
        return float(self._metric.compute())


def _pixels(image: Image.Image) -> torch.Tensor:
    array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255
