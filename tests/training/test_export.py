"""The committed weights: stock diffusers loads them, they are small, their report is theirs."""

import json

import numpy as np
import torch

from tracache.metrics.judges.images import load_classifier
from tracache.models.sources import weights_digest
from tracache.training.images.classifier import HEADS, labels, score
from tracache.training.images.evaluate import generate, generate_classes, score_classes
from tracache.training.pipelines import LARGEST_FILE, load_pipeline
from tracache.training.render.scenes import ASSETS, Scene, grammar, read_prompts

FOLDER = ASSETS / "scenes-t2i"


def test_no_file_is_too_large():
    files = [p for p in ASSETS.rglob("*") if p.is_file()]
    assert files
    assert all(p.stat().st_size <= LARGEST_FILE for p in files)
    classifier = ASSETS / "scenes-classifier" / "model.safetensors"
    assert classifier.stat().st_size < 2_000_000


def test_stock_pipeline_loads_offline_and_draws(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipe = load_pipeline(FOLDER)
    assert type(pipe).__name__ == "PixArtAlphaPipeline"
    assert all(p.dtype == torch.float32 for p in pipe.transformer.parameters())
    images = generate(pipe, ["a matte red sphere on snow in daylight"], steps=8)
    assert images.shape == (1, 128, 128, 3)
    red, green, blue = np.median(images[0, 45:70, 50:78].reshape(-1, 3), axis=0)
    assert red > green + 60
    assert red > blue + 60


def test_reports_belong_to_the_committed_weights():
    report = json.loads((FOLDER / "evaluation.json").read_text())
    assert report["transformer_sha256"] == weights_digest(FOLDER)
    assert report["count"] == len(read_prompts("heldout.txt"))
    assert report["percent_right"]["single_colour_and_solid"] >= 90.0


def test_classifier_is_good_enough_to_judge():
    report = json.loads((ASSETS / "scenes-classifier" / "evaluation.json").read_text())
    assert report["percent_right_through_autoencoder"]["single_colour_and_solid"] >= 98.0


def test_classifier_reads_renders():
    from tracache.training.render.images import render

    scenes = [Scene.from_caption(caption) for caption in read_prompts("tuning.txt")[20:44]]
    wanted = torch.tensor([[labels(s)[head] for head in HEADS] for s in scenes])
    found = score(load_classifier().read(render(scenes, seed=5)), wanted)
    assert found["single_colour_and_solid"] >= 95.0
    assert found["pair_layout"] >= 95.0


def test_right_of_is_read_as_left_of_the_other_way_round():
    one = Scene.from_caption("a matte red cube left of a shiny blue cone on sand at night")
    two = Scene.from_caption("a shiny blue cone right of a matte red cube on sand at night")
    assert labels(one) == labels(two)


def test_grammar_is_there_for_the_page():
    assert json.loads((FOLDER / "grammar.json").read_text()) == grammar()


def test_the_class_models_report_belongs_to_its_weights():
    folder = ASSETS / "scenes-class"
    report = json.loads((folder / "evaluation.json").read_text())
    assert report["transformer_sha256"] == weights_digest(folder)
    assert report["classes"] == 40
    assert report["count"] >= 256
    assert report["percent_right"]["single_colour_and_solid"] >= 90.0


def test_stock_pipeline_draws_a_class_by_name(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipe = load_pipeline(ASSETS / "scenes-class")
    assert type(pipe).__name__ == "DiTPipeline"
    number = pipe.get_label_ids(["blue cube"])
    image = generate_classes(pipe, number, steps=10)[0]
    assert score_classes(load_classifier().read(image[None]), number)["percent_right"] == {
        "single_colour": 100.0,
        "single_solid": 100.0,
        "single_colour_and_solid": 100.0,
        "single_layout": 100.0,
    }
