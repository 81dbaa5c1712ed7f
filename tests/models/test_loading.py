"""Loading: tiny checkpoints in the Hub's layout, devices, and what cannot be loaded."""

from pathlib import Path

import pytest
import torch

from tracache.models.loading import ModelUnavailableError, describe_device, load_model, pick_device
from tracache.settings import Settings


def settings(assets, device="cpu"):
    return Settings(assets=Path(assets), device=device, host="127.0.0.1", port=7860, deadline_s=60)


def test_missing_assets_say_what_to_do(tmp_path):
    with pytest.raises(ModelUnavailableError, match="clone the whole repository"):
        load_model("scenes-t2i", settings(tmp_path))


def test_a_broken_checkpoint_says_which(tmp_path):
    folder = tmp_path / "scenes-t2i"
    folder.mkdir()
    (folder / "model_index.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match=r"Scenes .* could not be loaded"):
        load_model("scenes-t2i", settings(tmp_path))


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device() in (
        torch.device("cuda"),
        torch.device("mps"),
        torch.device("cpu"),
    )
    with pytest.raises(ValueError, match="unknown device 'tpu'; choose from cuda, mps, cpu"):
        pick_device("tpu")
    with pytest.raises(ValueError, match="unknown device 'cpu:x'"):
        pick_device("cpu:x")
    absent = [k for k in ("cuda", "mps") if not getattr(torch, k).is_available()]
    for name in absent:
        with pytest.raises(ValueError, match=f"no {name} device here"):
            pick_device(name)
    assert describe_device(torch.device("cpu")).startswith("CPU (")


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACACHE_ASSETS", str(tmp_path))
    monkeypatch.setenv("TRACACHE_DEADLINE", "12.5")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "")
    found = Settings.from_environment()
    assert (found.assets, found.deadline_s, found.port) == (tmp_path, 12.5, 7860)
    monkeypatch.setenv("TRACACHE_DEADLINE", "soon")
    with pytest.raises(ValueError, match="TRACACHE_DEADLINE must be a number, got 'soon'"):
        Settings.from_environment()
