"""How well images fit their prompts: CLIP score, with any CLIP checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics.multimodal.clip_score import CLIPScore
from transformers import CLIPModel, CLIPProcessor

BATCH = 16

#: What the paper scores PixArt-α with.
VIT_G_14 = "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"

#: What nobody has to name.
VIT_L_14 = "openai/clip-vit-large-patch14"


class _Clip(nn.Module):
    """A CLIP whose features are tensors, as torchmetrics takes them; transformers 5 wraps them."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def get_image_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """Projected features of pixels."""
        return _tensor(self.model.get_image_features(*args, **kwargs))

    def get_text_features(self, *args: Any, **kwargs: Any) -> Tensor:
        """Projected features of tokens."""
        return _tensor(self.model.get_text_features(*args, **kwargs))


class ClipMeasure:
    """Mean CLIP score of images and their prompts: 100 · cosine, at least 0 (Hessel et al., 2021).

    Parameters
    ----------
    source : str
        Repository on the Hub or folder of a CLIP in transformers' layout, such as ``VIT_G_14``;
        ``VIT_L_14`` if empty.
    device : torch.device, default cpu
        Where it computes.

    Raises
    ------
    ValueError
        If it cannot be loaded; the message says what to do.
    """

    def __init__(self, source: str, device: torch.device | None = None) -> None:
        source = source or VIT_L_14
        try:
            model = CLIPModel.from_pretrained(source)
            processor = CLIPProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"the CLIP {source} cannot be loaded; give a repository of the Hub that can be "
                f"reached, or a folder ({reason})"
            ) from error
        self.name = f"CLIP score ({source.rstrip('/').rpartition('/')[2]})"
        self._device = device or torch.device("cpu")
        loaded: Any = (_Clip(model.eval()), processor)
        # Of processes that share a run, each has its own pictures.
        metric = CLIPScore(model_name_or_path=lambda: loaded, sync_on_compute=False)
        self._metric = metric.to(self._device)

    def to(self, device: torch.device) -> None:
        """Compute there from now on."""
        self._device = device
        self._metric.to(device)

    @torch.no_grad()
    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> float:
        """Return the mean over all pairs.

        Raises
        ------
        ValueError
            If there are not as many images as prompts.
        """
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images and {len(prompts)} prompts do not pair")
        self._metric.reset()
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            pixels = [
                torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).to(self._device)
                for image in images[part]
            ]
            self._metric.update(pixels, list(prompts[part]))
        return float(self._metric.compute())


def _tensor(found: Any) -> Tensor:
    return found if isinstance(found, Tensor) else found.pooler_output
