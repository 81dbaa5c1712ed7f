"""CLIP score, on a tiny CLIP in transformers' layout."""

import json
import string

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

from tracache.cli.main import main
from tracache.metrics.clip_score import ClipMeasure


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text = {"vocab_size": 54, "max_position_embeddings": 64, "bos_token_id": 0}
    config = CLIPConfig(
        text_config={**sizes, **text, "num_attention_heads": 2, "eos_token_id": 1},
        vision_config={**sizes, "num_attention_heads": 2, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    letters = string.ascii_lowercase
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(c + "</w>" for c in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return str(folder)


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
