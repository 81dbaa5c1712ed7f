"""Training: runs go on where they were cut, the schedule ends at zero, Muon orthogonalises."""

import json

import pytest
import torch

pytest.importorskip("diffusers")

from tracache.training.images.data import training_scenes
from tracache.training.images.t2i import TextToImage, load_trained, train_t2i
from tracache.training.images.vae import LATENTS, build_vae, normalise_latents
from tracache.training.optim import Budget, Run, ThreadChooser, orthogonalise
from tracache.training.text import build_tokenizer, tokenize


@pytest.fixture
def work(tmp_path):
    latents = torch.randn(16, LATENTS, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.save(latents.bfloat16(), tmp_path / "latents.pt")
    captions = [scene.caption for scene in training_scenes(16, seed=1)]
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    return tmp_path


def test_a_cut_run_goes_on_as_if_it_had_not_been_cut(work, monkeypatch):
    settings = {"budget": Budget(steps=4, warmup=2), "batch": 4, "layers": 1}
    train_t2i(work, **settings, name="long.pt")

    whole = Run.update

    def cut_after_two(run, loss, clip=1.0):
        whole(run, loss, clip)
        if run.step == 2:
            run.save()
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "update", cut_after_two)
    with pytest.raises(KeyboardInterrupt):
        train_t2i(work, **settings, name="cut.pt")
    monkeypatch.setattr(Run, "update", whole)
    train_t2i(work, **settings, name="cut.pt")

    long, cut = (torch.load(work / name, weights_only=True) for name in ("long.pt", "cut.pt"))
    assert long["step"] == cut["step"] == 4
    for part in ("module", "average"):
        for key, value in long[part].items():
            torch.testing.assert_close(cut[part][key], value, rtol=0, atol=0)
    model, figures = load_trained(work / "cut.pt", layers=1)
    assert isinstance(model, TextToImage)
    assert figures["steps"] == 4


def test_learning_rate_warms_up_holds_and_ends_at_zero():
    budget = Budget(steps=1000, warmup=100, hold=0.3)
    assert budget.rate(0, 0.0) == 0.01
    assert budget.rate(200, 0.0) == 1.0
    assert budget.rate(650, 0.0) == pytest.approx(0.5)
    assert budget.rate(1000, 0.0) == 0.0
    clock = Budget(minutes=10)
    assert clock.progress(5, 300.0) == 0.5
    assert clock.progress(5, 900.0) == 1.0


@pytest.mark.parametrize(("alone", "better"), [(0.5, 1), (2.0, 4)])
def test_threads_are_chosen_by_what_is_faster_now(monkeypatch, alone, better):
    state = {"threads": 4, "now": 0.0}
    monkeypatch.setattr(torch, "get_num_threads", lambda: state["threads"])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: state.update(threads=n))
    monkeypatch.setattr("time.monotonic", lambda: state["now"])
    chooser, used = ThreadChooser(cycle=10), []
    for _ in range(20):
        used.append(state["threads"])
        state["now"] += alone if state["threads"] == 1 else 1.0
        chooser.step()
    assert used[:9] == [4] * 9
    assert used[10:14] == [1, 1, 4, 4]
    assert set(used[14:]) == {better}


def test_muon_pushes_singular_values_towards_one():
    stack = torch.randn(3, 24, 64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(stack).float())
    assert values.min() > 0.4
    assert values.max() < 1.4


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
