"""Videos: saved, compared, and made by the whole chain from a request to files."""

import json
import shutil
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.families.opensora.test_pipeline import SPATIAL, TEMPORAL
from tracache.cli.main import main
from tracache.compare.comparison import run
from tracache.compare.request import make_request
from tracache.media import Video, frames_of
from tracache.metrics.fidelity import image_quality
from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.families.opensora.schedule import make_flow_scheduler
from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.models.families.opensora.vae import VideoAutoencoder
from tracache.models.loading import load_model
from tracache.settings import Settings
from tracache.training.render.clips import vocabulary
from tracache.training.text import build_text_encoder, build_tokenizer

PROMPT = "a red cube slides to the right on grass"


def clip(count=6, side=64, seed=0):
    """A square that moves over a plain ground."""
    frames = []
    for i in range(count):
        pixels = np.full((side, side, 3), 200, np.uint8)
        pixels[20:40, 5 + 4 * i : 25 + 4 * i] = (200, 30 + seed, 30)
        frames.append(Image.fromarray(pixels))
    return Video(tuple(frames), 8.0)


def test_a_saved_video_is_what_browsers_play(tmp_path):
    video = clip()
    video.save(tmp_path / "clip.mp4", repeat=2)
    about = iio.immeta(tmp_path / "clip.mp4", plugin="FFMPEG")
    assert about["codec"] == "h264"
    assert about["pix_fmt"].startswith("yuv420p")
    assert about["fps"] == 8.0
    again = iio.imread(tmp_path / "clip.mp4", plugin="FFMPEG")
    assert again.shape == (12, 64, 64, 3)
    for frame, original in zip(again[:6], video.frames, strict=True):
        assert np.abs(frame.astype(int) - np.asarray(original)).mean() < 6


def test_odd_sides_lose_a_line(tmp_path):
    clip(side=63).save(tmp_path / "odd.mp4")
    assert iio.imread(tmp_path / "odd.mp4", plugin="FFMPEG").shape[1:3] == (62, 62)


def test_quality_of_videos_is_over_all_frames():
    video, other = clip(), clip(seed=60)
    assert image_quality(video, video).psnr == float("inf")
    assert image_quality(video, video).frames == (float("inf"),) * 6
    quality = image_quality(other, video)
    errors = [
        np.square(np.asarray(a, float) - np.asarray(b, float)).mean()
        for a, b in zip(other.frames, video.frames, strict=True)
    ]
    assert quality.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(errors)), abs=1e-3)
    assert quality.frames == pytest.approx([10 * np.log10(255**2 / e) for e in errors], abs=1e-3)
    with pytest.raises(ValueError, match=r"sizes differ: 5 × \(64, 64\) and 6 ×"):
        image_quality(clip(5), video)
    assert frames_of(video.frames[0]) == (video.frames[0],)


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    """The embedded layout with a tiny model of random weights."""
    root = tmp_path_factory.mktemp("assets")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary(), 24)
    text = build_text_encoder(len(tokenizer))
    transformer = STDiT3(
        depth=2, hidden_size=24, num_heads=2, caption_channels=text.config.d_model,
        model_max_length=24, in_channels=4, pred_sigma=False,
    )  # fmt: skip
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    vae = VideoAutoencoder(spatial=SPATIAL, temporal=TEMPORAL)
    OpenSoraPipeline(tokenizer, text, transformer, vae, make_flow_scheduler()).save_pretrained(
        root / "scenes-t2v"
    )
    shutil.copytree(Settings.from_environment().assets / "prompts", root / "prompts")
    return root


@pytest.fixture
def settings(assets):
    return replace(Settings.from_environment(), assets=assets, device="cpu")


def test_a_comparison_of_videos(settings):
    model = load_model("scenes-t2v", settings)
    request = make_request(
        "scenes-t2v", PROMPT, seed=3, steps=7, stride=3,
        arms=("published", "fewer-steps", "pab", "delta-dit"), environment=settings,
    )  # fmt: skip
    report = run(model, request)
    by_arm = {arm.arm: arm for arm in report.arms}
    full, cached, fewer = (by_arm[name] for name in ("full", "published", "fewer-steps"))
    assert all(isinstance(arm.image, Video) for arm in report.arms)
    assert all(len(arm.image.frames) == len(arm.frame_psnr) == 17 for arm in report.arms)
    assert (full.full_steps, cached.full_steps, fewer.num_steps) == (7, 3, 3)
    assert full.frame_psnr == (float("inf"),) * 17
    assert cached.psnr < 100
    assert report.trace.labels[:2] == ("0 spatial", "0 temporal")
    again = run(model, request)
    for one, two in zip(report.arms, again.arms, strict=True):
        assert one.latent_error == two.latent_error
        assert [f.tobytes() for f in one.image.frames] == [f.tobytes() for f in two.image.frames]


def test_the_command_line_writes_videos(assets, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACACHE_ASSETS", str(assets))
    argv = ["compare", "--model", "scenes-t2v", "--prompt", PROMPT, "--steps", "5"]
    assert main([*argv, "--stride", "2", "--output", str(tmp_path)]) == 0
    assert {"full.mp4", "tracache.mp4", "orders.html"} <= {f.name for f in tmp_path.iterdir()}
    report = json.loads((tmp_path / "report.json").read_text())
    assert len(report["arms"][1]["frame_psnr"]) == 17
    argv = ["bench", "--quality", "--model", "scenes-t2v", "--count", "2", "--steps", "4"]
    figures = tmp_path / "quality.json"
    assert main([*argv, "--strides", "2", "--arms", "tracache", "--json", str(figures)]) == 0
    assert [row["full_steps"] for row in json.loads(figures.read_text())["rows"]] == [4, 2]


def test_a_sweep_keeps_videos_as_vbench_wants_them(assets, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACACHE_ASSETS", str(assets))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(PROMPT + "\n")
    argv = ["sweep", "--model", "scenes-t2v", "--prompts", str(prompts), "--count", "2"]
    argv += ["--steps", "4", "--strides", "2", "--arms", "reuse", "--output", str(tmp_path / "out")]
    assert main(argv) == 0
    kept = {f.name for f in (tmp_path / "out" / "videos" / "full-4").iterdir()}
    assert kept == {f"{PROMPT}-0.mp4", f"{PROMPT}-1.mp4"}
    with Image.open(tmp_path / "out" / "images" / "full-4" / "000000.png") as frames:
        assert frames.size == (17 * 64, 64)
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.size == (190 + 6 * 128, 2 * 128)
    assert "vbench evaluate" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"arms": ("toca",)}, "ToCa needs attention scores"),
        ({"arms": ("ddim",)}, "runs with rflow only"),
        ({"scheduler": "ddim"}, "scheduler"),
    ],
)
def test_what_videos_cannot_have_is_refused(settings, changes, words):
    with pytest.raises(ValueError, match=words):
        make_request("scenes-t2v", PROMPT, environment=settings, **changes)
