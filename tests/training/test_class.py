"""The class-conditional model: it learns, goes on after a cut, and stock diffusers loads it."""

import json

import pytest
import torch
from diffusers import DiTPipeline

from tracache.models.sources import weights_digest
from tracache.training.denoise import hidden
from tracache.training.fit import Budget, Effort
from tracache.training.images.class_dit import (
    CLASSES,
    NULL_CLASS,
    PICTURES,
    build_transformer,
    class_of,
    load_trained,
    train_class,
    widen,
)
from tracache.training.images.classifier import label_tensor
from tracache.training.images.data import training_scenes
from tracache.training.images.evaluate import generate_classes, score_classes
from tracache.training.images.export import export_class
from tracache.training.images.vae import LATENTS, build_vae
from tracache.training.optim import split_optimisers
from tracache.training.render.scenes import Scene


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / PICTURES
    folder.mkdir()
    latents = torch.randn(16, LATENTS, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.save(latents.bfloat16(), folder / "latents.pt")
    captions = [scene.caption for scene in training_scenes(16, seed=1, pair_share=0.0)]
    (folder / "captions.json").write_text(json.dumps(captions))
    return tmp_path


def test_classes_are_all_colours_of_all_solids():
    scenes = training_scenes(2000, seed=3, pair_share=0.0)
    assert len(set(CLASSES)) == 40
    assert {class_of(scene) for scene in scenes} == set(range(40))
    assert all(f" {CLASSES[class_of(s)]} on " in s.caption for s in scenes)
    assert CLASSES[class_of(Scene.from_caption("a matte red cube on sand at night"))] == "red cube"


def test_training_lowers_the_loss(work, capsys):
    torch.save(torch.ones(16, LATENTS, 16, 16).bfloat16(), work / PICTURES / "latents.pt")
    effort = Effort(Budget(steps=30, warmup=5), batch=8, report_every=5)
    train_class(work, effort, layers=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    losses = [float(line.split()[4]) for line in lines]
    assert losses[-1] < 0.7 * losses[0]
    assert load_trained(work / "class.pt", layers=1)[1]["steps"] == 30


def test_muon_takes_attention_and_feed_forward_only():
    model = torch.nn.Module()
    model.transformer = build_transformer(layers=1)
    muon, adamw = split_optimisers(model, hidden, 1e-3, 1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    pushed = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert {n.split(".")[3] for n in pushed} == {"attn1", "ff"}
    assert len(pushed) + len(adamw.param_groups[0]["params"]) == len(names)


def test_widening_changes_numbers_of_classes_and_nothing_else():
    narrow = build_transformer(layers=2).eval()
    with torch.no_grad():  # fresh weights predict zero, whatever the class
        for p in narrow.parameters():
            p.copy_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    wide = widen(narrow)
    x, times = torch.randn(2, LATENTS, 16, 16), torch.tensor([10, 900])
    with torch.no_grad():
        before = narrow(x, timestep=times, class_labels=torch.tensor([7, len(CLASSES)])).sample
        after = wide(x, timestep=times, class_labels=torch.tensor([7, NULL_CLASS])).sample
    torch.testing.assert_close(after, before)
    for block in wide.transformer_blocks:
        table = block.norm1.emb.class_embedder.embedding_table.weight
        assert table.shape[0] == NULL_CLASS + 1
        assert table[NULL_CLASS].abs().sum() > 0
        assert table[len(CLASSES) : NULL_CLASS].abs().max() == 0


def test_labels_are_dropped_by_the_training_loop_alone():
    model = build_transformer(layers=1).train()
    labels = model.transformer_blocks[0].norm1.emb.class_embedder
    wanted = torch.zeros(500, dtype=torch.long)
    assert (labels(wanted) == labels(wanted[:1])).all()


def test_exported_folder_loads_with_the_stock_pipeline(work, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    train_class(work, Effort(Budget(steps=1), batch=2), layers=1)
    build_vae().save_pretrained(work / "vae")
    folder = work / "out"
    export_class(work, folder, layers=1)
    export_class(work, folder, layers=1)  # over an older one

    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "DiTPipeline"
    assert index["id2label"] == {str(i): name for i, name in enumerate(CLASSES)}
    pipe = DiTPipeline.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.get_label_ids(["red sphere", "white ring"]) == [0, 39]
    assert pipe.transformer.config.out_channels == pipe.transformer.config.in_channels
    images = generate_classes(pipe, [0, 39, 5], steps=2, guidance=2.0, batch=2)
    assert images.shape == (3, 128, 128, 3)
    alone = generate_classes(pipe, [39], steps=2, guidance=2.0, seed=1)
    assert abs(alone[0].astype(int) - images[1]).max() <= 1
    assert len(weights_digest(folder)) == 64


def test_pictures_are_judged_by_colour_and_solid_alone():
    found = label_tensor(
        [
            Scene.from_caption("a shiny red sphere on snow at night"),
            Scene.from_caption("a matte white ring on sand at sunset"),
            Scene.from_caption("a matte white ring on sand at night"),
        ]
    )
    figures = score_classes(found, [0, 39, 38])
    assert figures["percent_right"]["single_solid"] == 100.0
    assert figures["percent_right"]["single_colour_and_solid"] == pytest.approx(66.67)
    assert figures["percent_shown"]["time"] == {
        "in daylight": 0.0,
        "at sunset": 33.3,
        "at night": 66.7,
    }
