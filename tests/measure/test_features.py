"""Distances between sets of pictures."""

import numpy as np
import pytest
from PIL import Image
from torchmetrics.image.fid import FrechetInceptionDistance

from tracache.embedded.statistics import render_reference
from tracache.measure.features import RenderDistance, SceneFeatures, _stack, save_statistics


@pytest.fixture(scope="module")
def renders():
    return render_reference(copies=1, seed=5)


def pictures(images):
    return [Image.fromarray(image) for image in images]


def test_renders_are_near_renders_and_other_pictures_are_not(renders):
    distance = RenderDistance()
    near = distance(pictures(renders))
    assert 0 <= near < 0.1
    assert distance(pictures(renders[:, ::-1].copy())) > 20 * near
    assert distance(pictures(255 - renders)) > 100 * near
    # Asking again is not asking about more pictures.
    assert distance(pictures(renders)) == pytest.approx(near)


def test_it_is_the_distance_of_torchmetrics(renders, tmp_path):
    file = tmp_path / "moments.safetensors"
    save_statistics(renders[:100], file)
    metric = FrechetInceptionDistance(feature=SceneFeatures())
    metric.update(_stack(pictures(renders[:100])), real=True)
    metric.update(_stack(pictures(renders[100:])), real=False)
    assert RenderDistance(file)(pictures(renders[100:])) == pytest.approx(
        float(metric.compute()), rel=1e-4
    )


def test_features_are_one_number_per_map(renders):
    features = SceneFeatures()(_stack(pictures(renders[:3])))
    assert features.shape == (3, 128)
    assert np.isfinite(features.numpy()).all()
