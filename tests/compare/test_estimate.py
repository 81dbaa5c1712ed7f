"""Estimates are what the runs then count; and what cannot be known beforehand is not guessed."""

import numpy as np
import pytest
import torch

from tests.compare.test_video import assets as video_assets
from tests.models.hub import write_model
from tracache.cli.main import main
from tracache.compare.comparison import run
from tracache.compare.estimate import estimate, note_pace
from tracache.compare.request import make_request
from tracache.models.loading import load_model
from tracache.models.registry import MODELS
from tracache.settings import Settings

assets = video_assets
EXACT = ["tracache", "published", "fewer-steps", "reuse", "delta-dit"]


@pytest.fixture
def settings(assets, monkeypatch):
    monkeypatch.setenv("TRACACHE_ASSETS", str(assets))
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    return Settings.from_environment()


def agree(request, settings):
    """Run a request; its figures are those of the estimate, but for the arms left to the run."""
    before = estimate(request, settings)
    report = run(load_model(request.model, settings), request)
    assert [arm.arm for arm in before.arms] == [arm.arm for arm in report.arms]
    for expected, found in zip(before.arms, report.arms, strict=True):
        assert expected.macs == found.macs, found.arm
        assert expected.num_steps == found.num_steps
        assert 1 / expected.share == pytest.approx(found.speed_up_macs)
    return before, report


@pytest.mark.parametrize("guidance_scale", [pytest.param(1.0, marks=pytest.mark.slow), 2.5])
def test_images(guidance_scale):
    settings = Settings.from_environment()
    asked = {"seed": 0, "steps": 7, "guidance_scale": guidance_scale, "trace": False}
    request = make_request("scenes-t2i", "a red cube", arms=[*EXACT, "toca"], **asked)
    agree(request, settings)
    module = make_request(
        "scenes-t2i", "a red cube", space="modules", abscissa="log-snr", arms=["published"], **asked
    )
    agree(module, settings)


def test_videos(settings):
    request = make_request("scenes-t2v", "a red cube", seed=0, steps=5, arms=EXACT, trace=False)
    agree(request, settings)


def test_arms_that_go_by_the_timestep_are_estimated_roughly(settings):
    asked = {"seed": 0, "steps": 12, "arms": ["pab", "fastercache"], "trace": False}
    request = make_request("scenes-t2v", "a red cube", **asked)
    found = {arm.arm: arm.macs for arm in run(load_model("scenes-t2v", settings), request).arms}
    for arm in estimate(request, settings).arms:
        assert arm.macs == pytest.approx(found[arm.arm], rel=0.25)


def test_classes(tmp_path, monkeypatch):
    write_model(tmp_path, "scenes-class")
    monkeypatch.setenv("TRACACHE_ASSETS", str(tmp_path))
    request = make_request("scenes-class", class_label=0, steps=6, arms=EXACT, trace=False)
    agree(request, Settings.from_environment())


def test_seconds_are_known_once_full_compute_has_been_timed(settings):
    asked = {"seed": 0, "arms": ["reuse"], "trace": False, "guidance_scale": 3.0}
    request = make_request("scenes-t2v", "a red cube", steps=4, **asked)
    note_pace(request, 2.0)
    longer = make_request("scenes-t2v", "a red cube", steps=8, **asked)
    full, reuse = estimate(longer, settings).arms
    assert full.seconds == pytest.approx(4.0)
    assert reuse.seconds == pytest.approx(full.seconds * reuse.share)
    unguided = make_request("scenes-t2v", "a red cube", steps=8, **{**asked, "guidance_scale": 1.0})
    assert estimate(unguided, settings).arms[0].seconds is None


def test_what_the_run_decides_is_left_to_it(settings):
    arms = [
        "published",
        "teacache",
        "first-block",
        "easy",
        "sea",
        "speca",
        "adacache",
        "tracache",
        "fewer-steps",
    ]
    request = make_request("scenes-t2v", "a red cube", stride="auto", arms=arms)
    found = {arm.arm: arm for arm in estimate(request, settings).arms}
    assert found["full"].share == 1
    assert {name for name, arm in found.items() if arm.macs is None} == set(arms)
    assert found["fewer-steps"].num_steps is None
    lines = estimate(request, settings).describe()
    assert lines[1] == "TraCache, as published: decided while it runs"


HUB = [spec.id for spec in MODELS.values() if not (spec.embedded or spec.stock)]
QUICK = ("pixart-256", "dit-xl-2-256")


@pytest.mark.parametrize(
    "model_id", [pytest.param(m, marks=[pytest.mark.slow] * (m not in QUICK)) for m in HUB]
)
def test_models_that_are_not_here_are_estimated_as_published(model_id):
    takes = {"class_label": 0} if MODELS[model_id].task == "class-to-image" else {"prompt": "x"}
    request = make_request(model_id, **takes, steps=6, stride=3, last_step=False, warmup=1)
    full, fast = estimate(request).arms
    assert fast.share == pytest.approx(2 / 6, abs=0.01)
    assert full.macs > 1e11


@pytest.mark.slow
def test_the_cost_of_a_video_follows_its_size():
    def macs(**size):
        request = make_request("open-sora-1.2", "x", steps=2, **size)
        return estimate(request).arms[0].macs

    # The papers' 1,660 T for 30 steps counts 120 tokens of text; the model reads 300.
    assert macs() / 2 * 30 == pytest.approx(1.69e15, rel=0.02)
    assert macs() / macs(frames=17) == pytest.approx(3, rel=0.01)
    assert macs() / macs(resolution="240p") > 4
    assert np.isclose(macs(aspect="16:9"), macs(), rtol=0.02)


def test_the_command_says_what_it_expects(tmp_path, capsys):
    argv = ["compare", "--prompt", "a red cube", "--steps", "4", "--stride", "2"]
    assert main([*argv, "--no-last-step", "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    expected = [line for line in lines if line.startswith("expected: ")]
    assert expected[0].startswith("expected: Full compute: 4 steps, ")
    assert expected[1].startswith("expected: TraCache: 0.500 of those MACs, 2.00×; 2 of 4 steps")
    assert torch.get_default_device() == torch.device("cpu")
