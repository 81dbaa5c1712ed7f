"""Latency of full-size layouts with random weights, batches, compiled blocks and peers."""

import json

import pytest
import torch

from tracache.caching.config import TraCacheConfig
from tracache.cli.main import main
from tracache.experiments.peers import require_peer
from tracache.metrics.macs import count_macs
from tracache.models import random_weights
from tracache.models.published import TRANSFORMERS

SMALL = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 3, "sample_size": 8}


@pytest.fixture
def small(monkeypatch):
    """The published layouts, a thousandth of their size."""
    for source, (name, config) in TRANSFORMERS.items():
        wide = {"cross_attention_dim": 16} if "cross_attention_dim" in config else {}
        monkeypatch.setitem(TRANSFORMERS, source, (name, {**config, **SMALL, **wide}))
    thin = {"block_out_channels": [8] * 4, "norm_num_groups": 8}
    monkeypatch.setattr(random_weights, "AUTOENCODER", {**random_weights.AUTOENCODER, **thin})


def bench(tmp_path, *argv):
    file = tmp_path / "latency.json"
    given = ["bench", "--latency", "--rounds", "1", "--count", "1", "--steps", "6"]
    assert main([*given, *argv, "--json", str(file)]) == 0
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    "model", [pytest.param("dit-xl-2-256", marks=pytest.mark.slow), "pixart-512"]
)
def test_random_weights_need_nothing_from_the_hub(small, model, tmp_path, capsys):
    argv = ["--model", model, "--random-weights", "--strides", "3", "--batch", "1", "2"]
    figures = bench(tmp_path, *argv, "--arms", "reuse", "taylorseer", "tracache")
    assert figures["random_weights"] is True
    rows = figures["rows"]
    arms = ["full", "tracache", "reuse", "taylorseer"]
    assert [(r["batch"], r["arm"]) for r in rows] == [(b, a) for b in (1, 2) for a in arms]
    for row in rows:
        assert row["denoising_s"] > 0
        if row["arm"] != "full":
            assert row["full_steps"] < 6
            assert row["macs_ratio"] > 1.5
    assert "Random weights" in capsys.readouterr().out


def test_random_weights_are_for_full_size_models_alone(capsys):
    assert main(["bench", "--latency", "--random-weights", "--count", "1"]) == 2
    assert "random weights are for full-size models (pixart-256" in capsys.readouterr().err


@pytest.mark.slow
def test_compiled_rows_come_after_eager_ones_and_leave_nothing_behind(small, tmp_path):
    argv = ["--model", "dit-xl-2-256", "--random-weights", "--strides", "2", "--compile"]
    rows = bench(tmp_path, *argv, "--peers", "diffusers-taylorseer")["rows"]
    assert [(r["compiled"], r["arm"]) for r in rows] == [
        (c, a) for c in (False, True) for a in ("full", "tracache", "diffusers-taylorseer")
    ]
    # A peer does not say which steps it computed.
    assert rows[2]["full_steps"] is rows[2]["block_ratio"] is None
    assert rows[2]["macs_ratio"] > 1.2


def forward(transformer, t):
    given = {"timestep": torch.full((2,), t)}
    if hasattr(transformer, "caption_projection"):
        given["encoder_hidden_states"] = torch.ones(2, 3, 4096)
        given["added_cond_kwargs"] = {"resolution": None, "aspect_ratio": None}
    else:
        given["class_labels"] = torch.tensor([1, 1000])
    with torch.no_grad():
        return transformer(torch.full((2, 4, 8, 8), 0.1), **given).sample


@pytest.mark.parametrize(
    "name, source",
    [
        ("diffusers-taylorseer", "facebook/DiT-XL-2-256"),
        ("diffusers-taylorseer", "PixArt-alpha/PixArt-XL-2-256x256"),
        ("cache-dit", "PixArt-alpha/PixArt-XL-2-256x256"),
    ],
)
def test_a_peer_skips_and_leaves_the_transformer_as_it_was(small, name, source):
    pipe = random_weights.build_pipeline(source, torch.device("cpu"), torch.float32)
    transformer = pipe.transformer
    times = [900, 750, 600, 450, 300, 150]
    before = [forward(transformer, t) for t in times]
    config = TraCacheConfig(stride=3, max_order=1)
    with count_macs() as whole:
        forward(transformer, 900)
    costs = []
    with require_peer(name, "text-to-image")(transformer, config, len(times)):
        for t in times:
            with count_macs() as macs:
                forward(transformer, t)
            costs.append(macs.total / whole.total)
    assert sum(cost > 0.9 for cost in costs) in (2, 3)
    assert min(costs) < 0.8
    after = [forward(transformer, t) for t in times]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_peer_that_cannot_run_says_why(capsys):
    argv = ["bench", "--latency", "--model", "dit-xl-2-256", "--random-weights", "--count", "1"]
    assert main([*argv, "--peers", "cache-dit"]) == 2
    assert "does not run on class-to-image models: it takes the blocks" in capsys.readouterr().err


def test_an_unknown_peer_is_refused(capsys):
    assert main(["bench", "--latency", "--peers", "nobody", "--count", "1"]) == 2
    assert "unknown peer 'nobody'; choose from diffusers-taylorseer" in capsys.readouterr().err
