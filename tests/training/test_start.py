"""A start from the committed weights: every model takes them, the command line too."""

import json

import pytest
import torch
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel

from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.training import train
from tracache.training.clips import t2v
from tracache.training.clips.data import training_clips
from tracache.training.images import class_dit, t2i
from tracache.training.images.data import training_scenes
from tracache.training.images.vae import LATENTS
from tracache.training.render.scenes import ASSETS
from tracache.training.text import load_text_encoder


def committed(kind, name):
    return kind.from_pretrained(ASSETS / name / "transformer", torch_dtype=torch.float32)


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def prepare(folder, shape, captions):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(torch.randn(4, *shape).bfloat16(), folder / "latents.pt")
    (folder / "captions.json").write_text(json.dumps(captions))


def start(stage, work):
    """One step from the committed weights at a hundredth of the rate: they hardly move."""
    settings = ["--start-from-assets", "--steps", "1", "--batch", "2", "--threads", "1"]
    train.main([stage, "--work", str(work), *settings])
    return torch.load(work / f"{stage}.pt", weights_only=True)["module"]


def near(module, before):
    before = before.state_dict()
    assert module.keys() == before.keys()
    assert all((module[key] - before[key]).abs().max() < 1e-3 for key in module)
    assert any(not torch.equal(module[key], before[key]) for key in module)


def test_pictures_of_captions_start_where_the_committed_model_is(tmp_path):
    model, folder = t2i.load_committed(), ASSETS / "scenes-t2i"
    same(
        model.transformer.state_dict(),
        committed(PixArtTransformer2DModel, "scenes-t2i").state_dict(),
    )
    same(model.text.state_dict(), load_text_encoder(folder).state_dict())
    scenes = training_scenes(4, seed=1)
    prepare(tmp_path, (LATENTS, 16, 16), [scene.caption for scene in scenes])
    near(start("t2i", tmp_path), model)


def test_pictures_of_classes_start_where_the_committed_model_is(tmp_path):
    model = class_dit.load_committed()
    wide = class_dit.widen(model.transformer).state_dict()
    same(wide, committed(DiTTransformer2DModel, "scenes-class").state_dict())
    scenes = training_scenes(4, seed=1, pair_share=0.0)
    prepare(tmp_path / "class", (LATENTS, 16, 16), [scene.caption for scene in scenes])
    near(start("class", tmp_path), model)


def test_clips_start_where_the_committed_model_is(tmp_path):
    model = t2v.load_committed()
    same(model.transformer.state_dict(), committed(STDiT3, "scenes-t2v").state_dict())
    assert torch.equal(model.null, model.transformer.y_embedder.y_embedding)
    clips = training_clips(4, seed=1)
    prepare(tmp_path, (LATENTS, 5, 8, 8), [clip.caption for clip in clips])
    near(start("t2v", tmp_path), model)


def test_the_committed_autoencoder_is_taken_where_there_is_none(tmp_path):
    for stage, source in (("encode", "scenes-t2i"), ("encode-clips", "scenes-t2v")):
        work = tmp_path / source
        train.adopt_vae(stage, work)
        taken, file = work / "vae", "diffusion_pytorch_model.safetensors"
        assert (taken / file).read_bytes() == (ASSETS / source / "vae" / file).read_bytes()
        (taken / file).write_bytes(b"trained here")
        train.adopt_vae(stage, work)
        assert (taken / file).read_bytes() == b"trained here"


def test_stages_that_have_nothing_to_work_on_say_what_to_do(tmp_path):
    (tmp_path / "captions.json").write_text("[]")
    with pytest.raises(FileNotFoundError, match="render and encode"):
        train.main(["t2i", "--work", str(tmp_path), "--steps", "1"])


def test_every_stage_is_one_that_trains_or_prepares():
    stages = {*train.STAGES, *train.CLASS_STAGES, *train.CLIP_STAGES}
    assert set(train.MINUTES) < stages
    assert stages > train.USES_VAE | train.USES_CLIP_VAE
