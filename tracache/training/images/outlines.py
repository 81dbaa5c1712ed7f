"""How clean a model's outlines are beside those of renders, which its autoencoder has seen too."""

from __future__ import annotations

from typing import Any

import numpy as np

from tracache.metrics.outlines import find_solid, roundness, sharpness, solidity
from tracache.training.render.scenes import Object, Scene

HUES = {"red": 0.0, "purple": 274.0, "pink": 332.0}
"""Colours that neither ground nor sky has, in degrees."""
SOLIDS = ("sphere", "cube", "cylinder", "cone")
"""All but the ring, which is not convex."""
GROUNDS = ("grass", "sand", "snow")
"""All but water, where a solid and its reflection are one."""
COPIES = 2
"""Of each; all of them matte, since a highlight may cut an outline open."""


def outline_scenes() -> list[Scene]:
    """Single solids by daylight whose colour tells them from everything else: 72."""
    return [
        Scene(Object("matte", colour, solid), ground, "in daylight")
        for solid in SOLIDS
        for colour in HUES
        for ground in GROUNDS
    ] * COPIES


def measure_outlines(images: np.ndarray, scenes: list[Scene]) -> dict[str, float]:
    """Return the means over pictures of scenes, uint8 (n, h, w, 3), by name.

    Solidity by solid, roundness of spheres, sharpness of all; and how many solids were found, as a
    share: one that is smaller than a hundredth of the picture is none.
    """
    found: dict[str, list[float]] = {}
    seen = 0
    for image, scene in zip(images, scenes, strict=True):
        mask = find_solid(image, HUES[scene.first.colour])
        if mask.mean() < 0.01:
            continue
        seen += 1
        solid = scene.first.solid
        found.setdefault(f"solidity_{solid}", []).append(solidity(mask))
        found.setdefault("sharpness", []).append(sharpness(image, mask))
        if solid == "sphere":
            found.setdefault("roundness_sphere", []).append(roundness(mask))
    means = {name: round(float(np.mean(values)), 5) for name, values in sorted(found.items())}
    return {"found": round(seen / len(scenes), 4), **means}


def compare_outlines(vae: Any, images: np.ndarray, scenes: list[Scene]) -> dict[str, Any]:
    """Hold a model's pictures against renders of the same scenes, through its own autoencoder.

    Returns
    -------
    dict
        By name ``[model, renders, model / renders]``.
    """
    from tracache.training.images.statistics import render_all
    from tracache.training.images.vae import roundtrip

    ours = measure_outlines(images, scenes)
    theirs = measure_outlines(roundtrip(vae, render_all(scenes)), scenes)
    return {
        name: [ours[name], theirs[name], round(ours[name] / theirs[name], 4)]
        for name in ours
        if theirs.get(name)
    }
