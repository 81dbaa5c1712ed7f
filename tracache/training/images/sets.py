"""How near a model's pictures are to renders, as a set: Fréchet distance, precision and recall."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from tracache.metrics.coverage import precision_and_recall
from tracache.metrics.fid import SceneSpace, measures_for
from tracache.models.registry import find_model
from tracache.training.images.statistics import SEED, render_all
from tracache.training.render.scenes import Scene

PICTURES = 1024
"""Of a set, unless told otherwise: distances of smaller ones are larger by their size alone."""
OTHER_RENDERS = SEED + 1_000_000
"""Noise of renders that are held to the model's pictures one by one."""


def compare_sets(model_id: str, images: np.ndarray, scenes: list[Scene]) -> dict[str, Any]:
    """Hold pictures of scenes, uint8 (n, 128, 128, 3), against renders, in the judge's features.

    Returns
    -------
    dict
        ``pictures``; ``frechet`` to the committed renders' moments; ``precision`` and ``recall``
        against renders of the same scenes.
    """
    measures = measures_for("scenes", find_model(model_id))
    space = SceneSpace()
    made = [Image.fromarray(image) for image in images]
    theirs, ours = (_features(space, x) for x in (render_all(scenes, OTHER_RENDERS), images))
    precision, recall = precision_and_recall(theirs, ours)
    return {
        "pictures": len(images),
        "frechet": round(measures[f"Fréchet ({space.name})"](made, ()), 4),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
    }


def _features(space: SceneSpace, images: np.ndarray, batch: int = 64) -> torch.Tensor:
    parts = [images[i : i + batch] for i in range(0, len(images), batch)]
    return torch.cat([space.pooled(torch.from_numpy(x).permute(0, 3, 1, 2)) for x in parts])
