"""The text-to-image model: it goes on after a cut, its words and its latents are right."""

import json

import pytest
import torch

from tests.training.cut import cut_after, same_weights
from tracache.training.fit import Budget, Effort
from tracache.training.images.data import training_scenes
from tracache.training.images.t2i import TextToImage, load_trained, train_t2i
from tracache.training.images.vae import LATENTS, build_vae, normalise_latents
from tracache.training.text import build_tokenizer, tokenize


@pytest.fixture
def work(tmp_path):
    latents = torch.randn(16, LATENTS, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.save(latents.bfloat16(), tmp_path / "latents.pt")
    captions = [scene.caption for scene in training_scenes(16, seed=1)]
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    return tmp_path


def test_a_cut_run_goes_on_as_if_it_had_not_been_cut(work):
    whole = Effort(Budget(steps=3, warmup=2), batch=4)
    train_t2i(work, whole, layers=1, name="long.pt")
    with pytest.raises(KeyboardInterrupt):
        train_t2i(work, cut_after(2, whole), layers=1, name="cut.pt")
    train_t2i(work, whole, layers=1, name="cut.pt")
    same_weights(work / "long.pt", work / "cut.pt")
    model, figures = load_trained(work / "cut.pt", layers=1)
    assert isinstance(model, TextToImage)
    assert figures["steps"] == 3


def test_tokenizer_knows_the_grammar_and_marks_the_rest():
    tokenizer = build_tokenizer()
    ids, mask = tokenize(tokenizer, ["A shiny RED cube, on snow at night", "a zebra", ""])
    assert ids.shape == mask.shape == (3, 20)
    words = tokenizer.convert_ids_to_tokens(ids[0])
    assert words[:5] == ["a", "shiny", "red", "cube", "<unk>"]  # the comma is its own word
    assert ids[1, :3].tolist() == tokenizer.convert_tokens_to_ids(["a", "<unk>", "</s>"])
    assert mask.sum(1).tolist() == [10, 3, 1]


def test_normalising_latents_leaves_the_pictures_alone():
    torch.manual_seed(0)
    vae = build_vae().eval()
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = vae.encode(x).latent_dist
        picture = vae.decode(before.mode()).sample
        mean, std = torch.linspace(-1, 1, LATENTS), torch.linspace(0.5, 3, LATENTS)
        normalise_latents(vae, mean, std)
        after = vae.encode(x).latent_dist
        wanted = (before.mode() - mean[:, None, None]) / std[:, None, None]
        torch.testing.assert_close(after.mode(), wanted, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(after.std, before.std / std[:, None, None], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(vae.decode(after.mode()).sample, picture, rtol=1e-3, atol=1e-4)
