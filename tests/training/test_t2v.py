"""The text-to-video model: it learns and goes on after a cut; clips pass the autoencoder."""

import json

import numpy as np
import pytest
import torch

from tests.training.cut import cut_after, same_weights
from tracache.training.clips.codec import (
    build_video_vae,
    decode_clips,
    encode_clips,
    encode_time,
    load_video_vae,
    roundtrip,
)
from tracache.training.clips.data import training_clips
from tracache.training.clips.t2v import (
    TOKENS,
    TextToVideo,
    build_clip_tokenizer,
    load_trained,
    sample,
    train_t2v,
)
from tracache.training.clips.vae import train_clip_vae, train_temporal
from tracache.training.data import load_latents
from tracache.training.denoise import Flow, hidden
from tracache.training.fit import Budget, Effort
from tracache.training.images.vae import LATENTS
from tracache.training.optim import split_optimisers
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
    flow = Flow()
    levels = flow.draw(64, torch.Generator().manual_seed(0))
    assert 0 < levels.min() < 0.1
    assert 0.9 < levels.max() < 1
    clean, noise = torch.randn(2, 3, 8, 5, 8, 8).unbind(0)
    noisy, velocity = flow.mix(clean, noise, torch.tensor([0.0, 1.0, 0.3]))
    torch.testing.assert_close(noisy[0], clean[0])
    torch.testing.assert_close(noisy[1], noise[1])
    torch.testing.assert_close(noisy[2] + 0.3 * velocity[2], clean[2])


def test_training_lowers_the_loss_and_goes_on_after_a_cut(work, capsys):
    torch.save(torch.ones(16, LATENTS, 5, 8, 8).bfloat16(), work / "latents.pt")
    whole = Effort(Budget(steps=16, warmup=4), batch=4, report_every=4)
    train_t2v(work, whole, depth=1, name="long.pt")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    losses = [float(line.split()[4]) for line in lines]
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(KeyboardInterrupt):
        train_t2v(work, cut_after(14, whole), depth=1, name="cut.pt")
    train_t2v(work, whole, depth=1, name="cut.pt")
    same_weights(work / "long.pt", work / "cut.pt")
    model, figures = load_trained(work / "cut.pt", depth=1)
    assert figures["steps"] == 16
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
    muon, adamw = split_optimisers(model, hidden, 1e-3, 1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    pushed = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert {n.split(".")[3] for n in pushed} == {"attn", "cross_attn", "mlp"}
    assert len(pushed) + len(adamw.param_groups[0]["params"]) == len(names)


def test_the_autoencoder_learns_goes_on_and_gives_clips_back(tmp_path, monkeypatch):
    monkeypatch.setattr("tracache.training.clips.vae.HOLDOUT", 4)
    clips = np.random.default_rng(0).integers(0, 256, (12, 17, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "clips.npy", clips)
    (tmp_path / "rendered.txt").write_text("12")
    train_clip_vae(tmp_path, Effort(Budget(steps=4), batch=2))
    steps = {half: _steps(tmp_path / f"{half}.pt") for half in ("spatial", "temporal")}
    assert steps == {"spatial": 2, "temporal": 2}
    train_temporal(tmp_path, Effort(Budget(steps=3), batch=2))
    assert _steps(tmp_path / "temporal.pt") == 3

    vae = load_video_vae(tmp_path)
    z = encode_time(vae, torch.load(tmp_path / "spatial_latents.pt", weights_only=True))
    assert z.shape == (12, LATENTS, 5, 2, 2)
    assert abs(z.mean()) < 0.1
    assert abs(z.std() - 1) < 0.1
    assert decode_clips(vae, z[:1]).shape == (1, 17, 16, 16, 3)
    assert roundtrip(vae, clips[:2]).shape == (2, 17, 16, 16, 3)
    assert sum(p.numel() for p in build_video_vae().parameters()) < 5_000_000
    encode_clips(tmp_path)
    kept = load_latents(tmp_path)
    torch.testing.assert_close(kept, z.bfloat16())
    (tmp_path / "spatial_latents.pt").unlink()  # as where the autoencoder was not trained here
    encode_clips(tmp_path)
    torch.testing.assert_close(load_latents(tmp_path), kept, rtol=0.05, atol=0.05)


def _steps(path):
    return torch.load(path, weights_only=True)["step"]


def test_clips_of_one_caption_have_one_text():
    clip = Clip.from_caption("a red cube slides to the left on sand")
    a, b = tokenize(build_clip_tokenizer(), [clip.caption, clip.caption.upper()])[0]
    assert (a == b).all()


def test_exported_folder_loads_as_a_pipeline(work, monkeypatch):
    from tracache.models.families.opensora.pipeline import OpenSoraPipeline
    from tracache.models.sources import weights_digest
    from tracache.training.clips.evaluate import generate_clips, sheet
    from tracache.training.clips.export import build_pipeline, export_t2v
    from tracache.training.pipelines import load_pipeline

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    train_t2v(work, Effort(Budget(steps=1), batch=2), depth=1)
    build_video_vae().save_pretrained(work / "vae")
    folder = work / "out"
    export_t2v(work, folder, depth=1)
    export_t2v(work, folder, depth=1)  # over an older one
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "OpenSoraPipeline"
    assert str(work) not in (folder / "model_index.json").read_text()
    pipe = load_pipeline(folder, OpenSoraPipeline)
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
