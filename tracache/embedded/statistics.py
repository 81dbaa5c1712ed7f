"""Moments of renders in the classifier's features: ``python -m tracache.embedded.statistics``.

Fréchet distances of generated pictures are taken to these renders of the held-out captions, which
neither the transformer nor the classifier was trained on.
"""

from __future__ import annotations

import numpy as np

from tracache.embedded.scenes import PROMPT_LISTS, Scene, read_prompts

COPIES = 8
"""Renders of each caption, each with positions, sizes and lights of its own."""
SEED = 77_000_000
CHUNK = 256


def render_reference(copies: int = COPIES, seed: int = SEED) -> np.ndarray:
    """Render every held-out caption ``copies`` times: uint8 (n, 128, 128, 3)."""
    from tracache.embedded.render import render

    scenes = [Scene.from_caption(caption) for caption in read_prompts(PROMPT_LISTS[0])] * copies
    return np.concatenate(
        [render(scenes[i : i + CHUNK], seed=seed + i) for i in range(0, len(scenes), CHUNK)]
    )


if __name__ == "__main__":
    from tracache.measure.features import STATISTICS, save_statistics

    save_statistics(render_reference())
    print(f"wrote {STATISTICS}")
