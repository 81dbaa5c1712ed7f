"""The training pictures: rendered once into a work folder, read back as memory maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tracache.training.render.scenes import (
    ASSETS,
    PROMPT_LISTS,
    Scene,
    excluded_captions,
    make_prompt_lists,
    read_prompts,
    sample_scenes,
)

CHUNK = 512


def write_prompt_lists(folder: Path | None = None, seed: int = 2026) -> None:
    """Write the held-out and the tuning list, one caption a line."""
    folder = folder or ASSETS / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, captions in make_prompt_lists(seed).items():
        (folder / name).write_text("\n".join(captions) + "\n", encoding="utf-8")


def training_scenes(count: int, seed: int, pair_share: float = 0.5) -> list[Scene]:
    """Scenes to train on: none of them is described by a held-out or a tuning caption."""
    return sample_scenes(count, seed, pair_share, exclude=excluded_captions())


def render_dataset(work: Path, count: int, seed: int = 1, pair_share: float = 0.5) -> None:
    """Render ``count`` training scenes into ``work``.

    Writes ``images.npy``, uint8 of shape (count, 128, 128, 3), and ``captions.json``, a list of as
    many captions. The same seed gives the same pictures.
    """
    from tracache.training.render.images import SIZE, render  # numba: only where it is needed

    work.mkdir(parents=True, exist_ok=True)
    scenes = training_scenes(count, seed, pair_share)
    images = np.lib.format.open_memmap(
        work / "images.npy", mode="w+", dtype=np.uint8, shape=(count, SIZE, SIZE, 3)
    )
    for start in range(0, count, CHUNK):
        images[start : start + CHUNK] = render(scenes[start : start + CHUNK], seed=start)
        print(f"rendered {min(start + CHUNK, count)} of {count}", flush=True)
    images.flush()
    (work / "captions.json").write_text(json.dumps([s.caption for s in scenes]))


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


def load_captions(work: Path) -> list[str]:
    """The captions of the rendered pictures, in their order."""
    return json.loads((work / "captions.json").read_text())
