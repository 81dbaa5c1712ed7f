"""The renderer: the same seed gives the same picture, and words look different."""

import numpy as np
import pytest

from tracache.training.render.images import render
from tracache.training.render.scenes import (
    COLOURS,
    GROUNDS,
    SOLIDS,
    TIMES,
    Object,
    Scene,
    sample_scenes,
)


def test_pictures_are_reproducible_one_by_one():
    scenes = sample_scenes(6, seed=4)
    images = render(scenes, seed=10)
    assert images.shape == (6, 128, 128, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(render(scenes[3:4], seed=13)[0], images[3])
    assert (render(scenes[3:4], seed=14)[0] != images[3]).any()


@pytest.mark.parametrize("time", TIMES)
def test_colours_stay_apart_at_all_times_of_day(time):
    scenes = [Scene(Object("matte", c, "sphere"), "sand", time) for c in COLOURS]
    middles = render(scenes, size=64)[:, 24:36, 26:38].reshape(len(scenes), -1, 3).mean(1)
    # Distance in colour, not in brightness alone, where both colours have a hue.
    apart = np.linalg.norm(middles[:, None] - middles[None], axis=-1)
    apart[np.diag_indices(len(scenes))] = np.inf
    assert apart.min() > 35, (time, apart.round())


def test_solids_grounds_and_times_look_different():
    thing = Object("shiny", "red", "sphere")
    groups = [
        [Scene(Object("shiny", "red", s), "grass", "in daylight") for s in SOLIDS],
        [Scene(thing, ground, "in daylight") for ground in GROUNDS],
        [Scene(thing, "snow", time) for time in TIMES],
        [Scene(Object(f, "red", "sphere"), "snow", "in daylight") for f in ("shiny", "matte")],
    ]
    for scenes in groups:
        flat = render(scenes, size=64).astype(float).reshape(len(scenes), -1)
        apart = np.abs(flat[:, None] - flat[None]).mean(-1)
        apart[np.diag_indices(len(scenes))] = np.inf
        assert apart.min() > 1.0


def test_left_is_left_and_top_is_top():
    red, blue = Object("matte", "red", "cube"), Object("matte", "blue", "cube")
    images = render(
        [Scene(red, "snow", "in daylight", r, blue) for r in ("left of", "right of", "on top of")]
    ).astype(float)
    redness = np.clip(images[..., 0] - images[..., 2], 60, None) - 60
    row, col = np.mgrid[:128, :128]
    weight = redness.sum((1, 2))
    across, down = (redness * col).sum((1, 2)) / weight, (redness * row).sum((1, 2)) / weight
    assert across[0] < 50
    assert across[1] > 78
    assert down[2] < down[0] - 10
