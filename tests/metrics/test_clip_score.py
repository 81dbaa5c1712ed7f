"""CLIP score, on a tiny CLIP in transformers' layout."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from tests.parts import write_clip
from tracache.cli.main import main
from tracache.metrics.clip_score import ClipMeasure


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_it_is_the_mean_cosine_of_image_and_prompt(clip):
    images, prompts = [picture(i) for i in range(20)], [f"a {c}" for c in "abcdefghijklmnopqrst"]
    model = CLIPModel.from_pretrained(clip).eval()
    processor = CLIPProcessor.from_pretrained(clip)
    scores = []
    for image, prompt in zip(images, prompts, strict=True):
        inputs = processor(text=[prompt], images=[image], return_tensors="pt", padding=True)
        with torch.no_grad():
            scores.append(100 * torch.cosine_similarity(*_embeds(model(**inputs))).item())
    measure = ClipMeasure(clip)
    expected = pytest.approx(max(0, np.mean(scores)), abs=1e-3)
    assert measure(images, prompts) == expected
    assert measure(images, prompts) == expected
    assert measure.name == "CLIP score (tiny-clip)"


def _embeds(out):
    return out.image_embeds, out.text_embeds


def test_images_and_prompts_pair(clip):
    with pytest.raises(ValueError, match="1 images and 2 prompts"):
        ClipMeasure(clip)([picture(0)], ["a", "b"])


def test_a_sweep_scores_with_it(clip, tmp_path):
    out = tmp_path / "out"
    argv = ["sweep", "--steps", "4", "--strides", "2", "--arms", "reuse", "--count", "2"]
    assert main([*argv, "--clip", clip, "--output", str(out)]) == 0
    rows = json.loads((out / "summary.json").read_text())["rows"]
    assert all(0 <= row["sets"]["CLIP score (tiny-clip)"] <= 100 for row in rows)


def test_a_clip_that_is_not_there(tmp_path, capsys):
    argv = ["sweep", "--steps", "4", "--count", "1", "--output", str(tmp_path / "out")]
    assert main([*argv, "--clip", str(tmp_path / "nothing")]) == 2
    assert "cannot be loaded; give a repository" in capsys.readouterr().err
    assert main([*argv, "--model", "scenes-class", "--clip", "x"]) == 2
    assert "takes classes: there are no prompts to score" in capsys.readouterr().err
