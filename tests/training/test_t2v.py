"""The text-to-video model: it learns and goes on after a cut; clips pass the autoencoder."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from tracache.training.clips.codec import build_video_vae, decode_clips, encode_time, roundtrip
from tracache.training.clips.data import training_clips
from tracache.training.clips.t2v import (
    TOKENS,
    TextToVideo,
    _hidden,
    add_noise,
    build_clip_tokenizer,
    load_trained,
    noise_levels,
    sample,
    train_t2v,
)
from tracache.training.clips.vae import train_temporal
from tracache.training.denoise import split_optimisers
from tracache.training.images.vae import LATENTS, build_vae
from tracache.training.optim import Budget, Run
from tracache.training.render.clips import Clip
from tracache.training.text import tokenize


@pytest.fixture
def work(tmp_path):
    latents = torch.randn(16, LATENTS, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.save(latents.bfloat16(), tmp_path / "latents.pt")
    captions = [clip.caption for clip in training_clips(16, seed=1)]
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    return tmp_path


def test_every_word_has_a_token_and_every_caption_room():
    tokenizer = build_clip_tokenizer()
    captions = [clip.caption for clip in training_clips(200, seed=2)]
    ids, mask = tokenize(tokenizer, captions)
    assert ids.shape == (200, TOKENS)
    assert (ids != tokenizer.unk_token_id).all()
    assert mask.sum(1).max() <= 12


def test_noise_levels_and_velocity():
    levels = noise_levels(64, torch.Generator().manual_seed(0))
    assert 0 < levels.min() < 0.1
    assert 0.9 < levels.max() < 1
    clean, noise = torch.randn(2, 3, 8, 5, 8, 8).unbind(0)
    noisy, velocity = add_noise(clean, noise, torch.tensor([0.0, 1.0, 0.3]))
    torch.testing.assert_close(noisy[0], clean[0])
    torch.testing.assert_close(noisy[1], noise[1])
    torch.testing.assert_close(noisy[2] + 0.3 * velocity[2], clean[2])


def test_training_lowers_the_loss(work, monkeypatch):
    torch.save(torch.ones(16, LATENTS, 5, 8, 8).bfloat16(), work / "latents.pt")
    losses, whole = [], Run.update

    def note(run, loss, clip=1.0):
        losses.append(loss.item())
        whole(run, loss, clip)

    monkeypatch.setattr(Run, "update", note)
    train_t2v(work, Budget(steps=30, warmup=5), batch=8, depth=1)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_cut_run_goes_on_as_if_it_had_not_been_cut(work, monkeypatch):
    settings = {"budget": Budget(steps=4, warmup=2), "batch": 4, "depth": 1}
    train_t2v(work, **settings, name="long.pt")
    whole = Run.update

    def cut_after_two(run, loss, clip=1.0):
        whole(run, loss, clip)
        if run.step == 2:
            run.save()
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "update", cut_after_two)
    with pytest.raises(KeyboardInterrupt):
        train_t2v(work, **settings, name="cut.pt")
    monkeypatch.setattr(Run, "update", whole)
    train_t2v(work, **settings, name="cut.pt")

    long, cut = (torch.load(work / name, weights_only=True) for name in ("long.pt", "cut.pt"))
    assert long["step"] == cut["step"] == 4
    for part in ("module", "average"):
        for key, value in long[part].items():
            torch.testing.assert_close(cut[part][key], value, rtol=0, atol=0)
    model, figures = load_trained(work / "cut.pt", depth=1)
    assert figures["steps"] == 4
    torch.testing.assert_close(model.transformer.y_embedder.y_embedding, model.null.detach())
    first, again = (sample(model, ["a red cube slides to the left on sand"], 2) for _ in range(2))
    assert first.shape == (1, LATENTS, 5, 8, 8)
    torch.testing.assert_close(first, again)


def test_dropped_captions_do_not_matter():
    model = TextToVideo(40, depth=1).eval()
    with torch.no_grad():  # fresh weights predict zero, whatever the caption
        for p in model.transformer.parameters():
            p.copy_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    x, times = torch.randn(1, LATENTS, 5, 8, 8).repeat(2, 1, 1, 1, 1), torch.tensor([500.0, 500.0])
    ids, mask = torch.randint(3, 40, (2, 12)), torch.ones(2, 12, dtype=torch.long)
    with torch.no_grad():
        told = model(x, times, ids, mask, torch.tensor([False, False]))
        free = model(x, times, ids, mask, torch.tensor([True, True]))
    assert (told[0] - told[1]).abs().max() > 1e-3
    torch.testing.assert_close(free[0], free[1])


def test_muon_takes_the_blocks_matrices_only():
    model = TextToVideo(40, depth=1)
    muon, adamw = split_optimisers(model, _hidden, 1e-3, 1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    pushed = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert {n.split(".")[3] for n in pushed} == {"attn", "cross_attn", "mlp"}
    assert len(pushed) + len(adamw.param_groups[0]["params"]) == len(names)


def test_the_autoencoder_learns_goes_on_and_gives_clips_back(tmp_path):
    clips = np.random.default_rng(0).integers(0, 256, (260, 17, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "clips.npy", clips)
    (tmp_path / "rendered.txt").write_text("260")
    build_vae().save_pretrained(tmp_path / "spatial")
    latents = torch.randn(260, 17, LATENTS, 2, 2).bfloat16()
    torch.save(latents, tmp_path / "spatial_latents.pt")
    train_temporal(tmp_path, Budget(steps=2, warmup=1), batch=2)
    train_temporal(tmp_path, Budget(steps=3, warmup=1), batch=2)
    from tracache.training.clips.codec import load_video_vae

    vae = load_video_vae(tmp_path)
    z = encode_time(vae, latents[:256])
    assert z.shape == (256, LATENTS, 5, 2, 2)
    assert abs(z.mean()) < 0.1
    assert abs(z.std() - 1) < 0.1
    assert decode_clips(vae, z[:1]).shape == (1, 17, 16, 16, 3)
    assert roundtrip(vae, clips[:2]).shape == (2, 17, 16, 16, 3)
    assert sum(p.numel() for p in build_video_vae().parameters()) < 5_000_000


def test_clips_of_one_caption_have_one_text():
    clip = Clip.from_caption("a red cube slides to the left on sand")
    a, b = tokenize(build_clip_tokenizer(), [clip.caption, clip.caption.upper()])[0]
    assert (a == b).all()


def test_exported_folder_loads_as_a_pipeline(work, monkeypatch):
    from tracache.training.clips.evaluate import generate_clips, load_pipeline, sheet
    from tracache.training.clips.export import build_pipeline, export_t2v
    from tracache.training.images.evaluate import weights_digest

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    train_t2v(work, Budget(steps=1, warmup=1), batch=2, depth=1)
    build_video_vae().save_pretrained(work / "vae")
    folder = work / "out"
    export_t2v(work, folder, depth=1)
    export_t2v(work, folder, depth=1)  # over an older one
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "OpenSoraPipeline"
    assert str(work) not in (folder / "model_index.json").read_text()
    pipe = load_pipeline(folder)
    captions = [clip.caption for clip in training_clips(3)]
    clips = generate_clips(pipe, captions, steps=2, batch=2)
    assert clips.shape == (3, 17, 64, 64, 3)
    alone = generate_clips(pipe, captions[2:], steps=2, seed=2)
    assert abs(alone[0].astype(int) - clips[2]).max() <= 1
    assert len(weights_digest(folder)) == 64
    assert sheet(clips[:2]).size == (2 * 9 * 64, 64)
    # The loop that checks on a model in training walks the same way as the pipeline.
    pipe, _ = build_pipeline(work, depth=1)
    model, _ = load_trained(work / "t2v.pt", depth=1)
    out = pipe(
        captions[:1],
        num_frames=17,
        height=64,
        width=64,
        fps=8,
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=[torch.Generator().manual_seed(5)],
        aesthetic_score=None,
        output_type="latent",
    ).frames
    mine = sample(model, captions[:1], steps=3, guidance=4.0, shift=1.0, seed=5)
    torch.testing.assert_close(out, mine, atol=1e-4, rtol=1e-4)
