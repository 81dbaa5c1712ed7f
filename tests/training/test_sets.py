"""A model's pictures beside renders, as a set."""

import numpy as np

from tracache.training.images.sets import compare_sets
from tracache.training.images.statistics import class_scenes, render_all


def test_renders_are_like_renders_and_noise_is_not():
    scenes = class_scenes()[::60]
    real = compare_sets("scenes-class", render_all(scenes), scenes)
    assert real["pictures"] == len(scenes) == 32
    assert min(real["precision"], real["recall"]) > 0.7
    noise = np.random.default_rng(0).integers(0, 256, (32, 128, 128, 3), np.uint8)
    made = compare_sets("scenes-class", noise, scenes)
    assert made["precision"] == made["recall"] == 0.0
    assert made["frechet"] > 10 * real["frechet"]
