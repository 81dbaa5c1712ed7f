"""The training clips: rendered once into a work folder, read back as memory maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracache.training.data import render_into
from tracache.training.render.clips import (
    GROUNDS,
    PROMPT_LISTS,
    Clip,
    sample_clips,
)
from tracache.training.render.motion import CAMERA, FRAMES, SIZE, layout
from tracache.training.render.scenes import GROUNDS as ALL_GROUNDS
from tracache.training.render.scenes import excluded_captions, read_prompts

CHUNK = 64
TRAINING_SEED = 1


def render_clips(clips: list[Clip], seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Render clips; clip ``i`` depends on its words and on ``seed + i`` alone.

    Returns
    -------
    numpy.ndarray
        uint8, shape (len(clips), 17, size, size, 3), sRGB.
    """
    from tracache.training.render.images import draw  # numba: only where it is needed

    count = len(clips)
    objs = np.zeros((count, FRAMES, 2, 12), dtype=np.float32)
    counts = np.repeat([len(clip.things) for clip in clips], FRAMES)
    for i, clip in enumerate(clips):
        objs[i, :, : len(clip.things)] = layout(clip, seed + i)
    assert ALL_GROUNDS[: len(GROUNDS)] == GROUNDS
    kinds = np.repeat([GROUNDS.index(clip.ground) for clip in clips], FRAMES)
    frames = draw(objs.reshape(-1, 2, 12), counts, kinds, np.zeros_like(kinds), size, CAMERA)
    return frames.reshape(count, FRAMES, size, size, 3)


def training_clips(count: int, seed: int = TRAINING_SEED) -> list[Clip]:
    """Clips to train on: none of them is described by a held-out or a tuning caption."""
    return sample_clips(count, seed, exclude=excluded_captions(PROMPT_LISTS))


def render_dataset(work: Path, count: int, seed: int = TRAINING_SEED) -> None:
    """Render ``count`` training clips into ``work``; goes on where an earlier call was cut.

    Writes ``clips.npy``, uint8 of shape (count, 17, 64, 64, 3), and ``captions.json``. Clip ``i``
    was placed with seed ``i``.
    """
    clips = training_clips(count, seed)
    render_into(
        work / "clips.npy",
        [clip.caption for clip in clips],
        (FRAMES, SIZE, SIZE, 3),
        lambda first, last: render_clips(clips[first:last], seed=first),
        CHUNK,
    )


def fresh_clips(count: int, seed: int = 990_001) -> tuple[list[Clip], np.ndarray]:
    """Renders that no training saw: the held-out captions, then freely drawn clips.

    Returns
    -------
    clips : list of Clip
        As many as ``count``.
    frames : numpy.ndarray
        uint8, shape (count, 17, 64, 64, 3); their seeds lie beyond those of any training set.
    """
    held_out = [Clip.from_caption(caption) for caption in read_prompts(PROMPT_LISTS[0])]
    clips = (held_out + sample_clips(count, seed))[:count]
    return clips, render_clips(clips, seed=seed * 1000)


def load_clips(work: Path) -> np.ndarray:
    """The rendered clips as a read-only memory map, uint8 (n, 17, 64, 64, 3)."""
    return np.load(work / "clips.npy", mmap_mode="r")
