"""Published pipelines with random weights: nothing is fetched, and every arm runs."""

import json

import pytest
import torch

from tests.models.stock import write_stock
from tests.models.twins import TWINS, entry, publish
from tracache.cli.main import main
from tracache.compare.arms import Setup
from tracache.compare.counting import block_lists, denoisers_of
from tracache.compare.sampling import prepare, sample
from tracache.models.pipelines import PIPELINES
from tracache.models.random_pipelines import count_parameters, shorten
from tracache.models.random_weights import load_random
from tracache.models.registry import MODELS


@pytest.fixture
def small(tmp_path, monkeypatch):
    """As published, and as listed, but tiny; there are no files of it."""
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")

    def make(model_id):
        source = MODELS[model_id].source
        folder = write_stock(tmp_path, TWINS[model_id][0], source)
        monkeypatch.setitem(PIPELINES, source, publish(model_id, folder))
        monkeypatch.setitem(MODELS, model_id, entry(model_id))
        return model_id

    return make


@pytest.mark.parametrize("model_id", TWINS)
def test_every_kind_runs(small, model_id):
    model = load_random(small(model_id))
    spec = model.spec
    inputs = prepare(model, ["any", "words"], [1, 2], spec.guidance_scale, "as-published")
    done = sample(model, inputs, Setup(2))
    assert torch.isfinite(done.latents).all()
    assert done.latents.shape[0] == 2


def test_bench(small, tmp_path, capsys):
    small("wan-2.1-1.3b")
    figures = tmp_path / "figures.json"
    argv = ["bench", "--model", "wan-2.1-1.3b", "--random-weights", "--layers", "1"]
    argv += ["--steps", "4", "--compute", "2", "--arms", "tracache", "published"]
    argv += ["--count", "1", "--json", str(figures)]
    assert main([*argv, "--latency", "--rounds", "1"]) == 0
    written = json.loads(figures.read_text())
    assert (written["random_weights"], written["layers"]) == (True, 1)
    _, *fast = written["rows"]
    for row in fast:
        assert row["full_steps"] == 2
        assert row["macs_ratio"] > 1.1
        # A step is two calls.
        assert row["skipped_ms"] < row["computed_ms"]
    assert main([*argv, "--memory"]) == 0
    assert main([*argv, "--latency", "--peers", "cache-dit"]) == 2
    assert "--peers run on DiT and PixArt" in capsys.readouterr().err


def test_fewer_layers(small):
    model = load_random(small("flux.1-dev"), layers=1)
    assert len(block_lists(*denoisers_of(model.pipe))) == 2
    published = PIPELINES["Tongyi-MAI/Z-Image"]
    whole = count_parameters(published.denoiser)
    assert count_parameters(shorten(published, 2).denoiser) < whole / 5
    # No more than there are.
    assert count_parameters(shorten(published, 99).denoiser) == whole
    with pytest.raises(ValueError, match="UNet2DConditionModel has no stacks of blocks to shorten"):
        load_random("sdxl", layers=2)
    with pytest.raises(ValueError, match="has all of its layers or none"):
        load_random("dit-xl-2-256", layers=2)
