"""How far sets of images are apart in a feature space: the Fréchet distance.

The features are named wherever a distance is shown, since distances in different spaces have
nothing to do with each other. For the embedded models they are those of the project's own scene
classifier, and the other set is renders of the held-out captions, whose statistics come with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from tracache.measure.classifier import FOLDER, SceneClassifier, load_classifier

STATISTICS = FOLDER / "renders.safetensors"

SCENE_FEATURES = "scene classifier, last stage, mean over pixels"


class SceneFeatures(nn.Module):
    """The classifier's last feature maps, averaged: uint8 (n, 3, h, w) → (n, num_features)."""

    def __init__(self, classifier: SceneClassifier | None = None) -> None:
        super().__init__()
        self.classifier = classifier or load_classifier()
        self.num_features = self.classifier.widths[-1]

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of pictures."""
        pixels = images.float() / 127.5 - 1.0
        return self.classifier.features(pixels)[-1].mean((2, 3))


class RenderDistance:
    """Fréchet distance of pictures to renders, in the classifier's features.

    Parameters
    ----------
    statistics : Path, optional
        Moments of the renders, as :func:`save_statistics` writes them.
    """

    def __init__(self, statistics: Path = STATISTICS) -> None:
        self._features = SceneFeatures()
        self._moments = load_file(statistics)

    def __call__(self, images: Sequence[Image]) -> float:
        """Return the distance; few pictures make it larger than many would."""
        metric = _metric(self._features)
        metric.real_features_sum = self._moments["sum"]
        metric.real_features_cov_sum = self._moments["products"]
        metric.real_features_num_samples = self._moments["count"]
        metric.update(_stack(images), real=False)
        return float(metric.compute())


def save_statistics(images: np.ndarray, file: Path = STATISTICS) -> None:
    """Write the moments of renders, uint8 (n, h, w, 3)."""
    metric = _metric(SceneFeatures())
    for start in range(0, len(images), 64):
        batch = torch.from_numpy(np.ascontiguousarray(images[start : start + 64]))
        metric.update(batch.permute(0, 3, 1, 2), real=True)
    moments = {
        "sum": metric.real_features_sum,
        "products": metric.real_features_cov_sum,
        "count": metric.real_features_num_samples,
    }
    save_file(moments, file)
    file.chmod(0o644)


def _metric(features: SceneFeatures) -> FrechetInceptionDistance:
    with warnings.catch_warnings():
        # torchmetrics says on every making that it buffers features.
        warnings.simplefilter("ignore", UserWarning)
        return FrechetInceptionDistance(feature=features)


def _stack(images: Sequence[Image]) -> Tensor:
    return torch.stack(
        [torch.from_numpy(np.array(i.convert("RGB"))).permute(2, 0, 1) for i in images]
    )
