"""The training pictures: rendered once into a work folder, read back as memory maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracache.training.data import render_into
from tracache.training.render.scenes import (
    PROMPT_LISTS,
    Scene,
    excluded_captions,
    read_prompts,
    sample_scenes,
)

CHUNK = 512


def training_scenes(count: int, seed: int, pair_share: float = 0.5) -> list[Scene]:
    """Scenes to train on: none of them is described by a held-out or a tuning caption."""
    return sample_scenes(count, seed, pair_share, exclude=excluded_captions())


def render_dataset(work: Path, count: int, seed: int = 1, pair_share: float = 0.5) -> None:
    """Render ``count`` training scenes into ``work``; goes on where an earlier call was cut.

    Writes ``images.npy``, uint8 of shape (count, 128, 128, 3), and ``captions.json``, a list of as
    many captions. The same seed gives the same pictures.
    """
    from tracache.training.render.images import SIZE, render  # numba: only where it is needed

    scenes = training_scenes(count, seed, pair_share)
    render_into(
        work / "images.npy",
        [scene.caption for scene in scenes],
        (SIZE, SIZE, 3),
        lambda first, last: render(scenes[first:last], seed=first),
        CHUNK,
    )


def fresh_renders(count: int, seed: int = 990_001) -> tuple[list[Scene], np.ndarray]:
    """Renders that no training saw, for reports: the held-out captions, then freely drawn scenes.

    Returns
    -------
    scenes : list of Scene
        As many as ``count``, about half of them single objects.
    images : numpy.ndarray
        uint8, shape (count, 128, 128, 3); their seeds lie beyond those of any training set.
    """
    from tracache.training.render.images import render

    held_out = [Scene.from_caption(caption) for caption in read_prompts(PROMPT_LISTS[0])]
    scenes = (held_out + sample_scenes(count, seed))[:count]
    return scenes, render(scenes, seed=seed * 1000)


def load_images(work: Path) -> np.ndarray:
    """The rendered pictures as a read-only memory map, uint8 (n, 128, 128, 3)."""
    return np.load(work / "images.npy", mmap_mode="r")
