"""How good a set of images is, and how near to another."""

import pytest
import torch
from PIL import Image
from torchmetrics.image.fid import FrechetInceptionDistance

from tracache.metrics.fid import (
    SceneSpace,
    SetMeasures,
    _batches,
    _Features,
    load_folder,
    measures_for,
    moments_of,
)
from tracache.models.registry import find_model
from tracache.training.images.statistics import heldout_scenes, render_all
from tracache.training.render.scenes import Object, Scene

SCENES = find_model("scenes-t2i")


@pytest.fixture(scope="module")
def renders():
    return render_all(heldout_scenes(copies=1), seed=5)


def pictures(images):
    return [Image.fromarray(image) for image in images]


@pytest.mark.parametrize(
    "kind", ["Fréchet (scenes)", pytest.param("spatial Fréchet (scenes)", marks=pytest.mark.slow)]
)
def test_renders_are_near_renders_and_other_pictures_are_not(renders, kind):
    distance = measures_for("scenes", SCENES)[kind]
    near = distance(pictures(renders))
    assert near >= 0
    assert distance(pictures(255 - renders)) > 20 * near
    # Asking again is not asking about more pictures.
    assert distance(pictures(renders)) == pytest.approx(near)


@pytest.mark.slow
def test_only_the_spatial_distance_minds_where_things_are(renders):
    """Mirrored at the vertical axis a scene is as good as before, but for the light's side."""
    measures = measures_for("scenes", SCENES)
    upside_down = pictures(renders[:, ::-1].copy())
    for name in ("Fréchet (scenes)", "spatial Fréchet (scenes)"):
        assert measures[name](upside_down) > 5 * measures[name](pictures(renders))


def test_it_is_the_distance_of_torchmetrics(renders):
    space = SceneSpace()
    metric = FrechetInceptionDistance(feature=_Features(space.pooled, 128))
    metric.update(next(_batches(pictures(renders[:64]))), real=True)
    metric.update(next(_batches(pictures(renders[64:128]))), real=False)
    ours = SetMeasures(space, moments_of(space, pictures(renders[:64])))
    expected = pytest.approx(float(metric.compute()), rel=1e-4)
    assert ours.frechet(pictures(renders[64:128])) == expected


def test_the_score_counts_classes_and_certainty():
    """Pictures of four classes score about four; the same picture over and over scores one."""
    scenes = [
        Scene(Object("matte", colour, solid), "sand", "in daylight")
        for colour in ("red", "blue")
        for solid in ("cube", "ring")
    ]
    four = pictures(render_all(scenes * 8))
    score = measures_for("scenes", SCENES)["Inception Score (scenes)"]
    assert score(four) == pytest.approx(4, abs=0.3)
    assert score([four[0]] * 8) == pytest.approx(1, abs=1e-3)


def test_the_scenes_are_read_as_their_classes():
    images = render_all([Scene(Object("shiny", "green", "cone"), "snow", "at night")] * 4)
    logits = SceneSpace().logits(next(_batches(pictures(images))))
    assert logits.shape == (4, 40)
    assert torch.allclose(logits.exp().sum(1), torch.ones(4))


def test_a_folder_can_be_the_reference(renders, tmp_path):
    for i, picture in enumerate(pictures(renders[:20])):
        picture.save(tmp_path / f"{i}.png")
    measures = measures_for("scenes", SCENES, tmp_path)
    assert measures["Fréchet (scenes)"](load_folder(tmp_path)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    "features, model, words",
    [
        ("vgg", "scenes-t2i", "unknown features 'vgg'; choose from none, scenes, inception"),
        ("scenes", "pixart-256", "know nothing but the embedded models' scenes"),
        ("inception", "pixart-256", "need --reference"),
    ],
)
def test_what_cannot_be_measured_is_refused(features, model, words):
    with pytest.raises(ValueError, match=words):
        measures_for(features, find_model(model))


def test_a_reference_needs_images(tmp_path):
    with pytest.raises(ValueError, match="holds 0 images; a set needs two"):
        load_folder(tmp_path)
