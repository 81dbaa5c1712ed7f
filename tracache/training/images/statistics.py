"""Moments of renders in features: ``python -m tracache.training.images.statistics``.

Distances of generated pictures are taken to these renders: of the held-out captions, which neither
the transformer nor the classifier was trained on, and of all classes of the class-conditional
model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tracache.training.render.scenes import (
    COLOURS,
    FINISHES,
    GROUNDS,
    PROMPT_LISTS,
    SOLIDS,
    TIMES,
    Object,
    Scene,
    read_prompts,
)

COPIES = 8
"""Renders of each caption, each with positions, sizes and lights of its own."""
SEED = 77_000_000
CHUNK = 256


def heldout_scenes(copies: int = COPIES) -> list[Scene]:
    """Every held-out caption so many times."""
    return [Scene.from_caption(caption) for caption in read_prompts(PROMPT_LISTS[0])] * copies


def class_scenes() -> list[Scene]:
    """Every class with every finish, ground and time of day, once each and then once more."""
    return [
        Scene(first=Object(finish, colour, solid), ground=ground, time=time)
        for solid in SOLIDS
        for colour in COLOURS
        for finish in FINISHES
        for ground in GROUNDS
        for time in TIMES
    ] * 2


def render_all(scenes: list[Scene], seed: int = SEED) -> np.ndarray:
    """Render scenes: uint8 (n, 128, 128, 3)."""
    from tracache.training.render.images import render

    return np.concatenate(
        [render(scenes[i : i + CHUNK], seed=seed + i) for i in range(0, len(scenes), CHUNK)]
    )


def write(model_id: str, scenes: list[Scene]) -> Path:
    """Render scenes and write their moments."""
    from tracache.metrics.fid import save_statistics

    return save_statistics([Image.fromarray(picture) for picture in render_all(scenes)], model_id)


if __name__ == "__main__":
    print(f"wrote {write('scenes-t2i', heldout_scenes())}")
    print(f"wrote {write('scenes-class', class_scenes())}")
