"""The registry's entries: what they say is what counting gives."""

import diffusers
import pytest
import torch

from tracache.cli.main import main
from tracache.compare.estimate import estimate
from tracache.compare.plan import plans
from tracache.compare.request import make_request
from tracache.media import VideoSize
from tracache.metrics.live import count_live
from tracache.metrics.macs import count_macs
from tracache.models.pipeline_shapes import Step, capture_step
from tracache.models.pipelines import PIPELINES
from tracache.models.registry import MODELS
from tracache.models.schedulers import SCHEDULERS

STOCK = [spec for spec in MODELS.values() if spec.stock]


def billions(part):
    name, config = part
    with torch.device("meta"):
        model = getattr(diffusers, name)(**config)
    return sum(p.numel() for p in model.parameters()) / 1e9


def test_every_entry_is_complete():
    assert {spec.source for spec in STOCK} == set(PIPELINES)
    for spec in STOCK:
        assert spec.licence
        assert spec.footprint.download_gb > spec.footprint.transformer
        assert set(spec.schedulers) <= set(SCHEDULERS)
        assert spec.example_prompts
        assert spec.makes_video == (spec.task == "text-to-video")
        assert spec.denoiser == PIPELINES[spec.source].part


@pytest.mark.parametrize(
    "model_id",
    ["flux.1-dev", "sd3.5-medium", "sana-1.6b", "wan-2.2-5b", "hunyuanvideo-1.5", "sdxl"],
)
def test_parameters_are_those_of_the_published_configuration(model_id):
    spec = MODELS[model_id]
    published = PIPELINES[spec.source]
    assert spec.footprint.transformer == pytest.approx(billions(published.denoiser), rel=1e-3)
    assert spec.footprint.vae == pytest.approx(billions(published.vae), rel=5e-3)


def macs_of(model_id, **changes):
    request = make_request(model_id, "a red cube", seed=0, **changes)
    return {arm.arm: arm for arm in estimate(request).arms}


def test_flux_costs_what_is_published():
    """3,719.5 TFLOPs for 50 steps at 1024 × 1024, as papers on caches for it say."""
    arms = macs_of("flux.1-dev", steps=50, compute=10, arms=["tracache", "fewer-steps"])
    assert arms["full"].macs * 2 / 1e12 == pytest.approx(3719.5, rel=1e-4)
    assert arms["tracache"].share == arms["fewer-steps"].share == 0.2
    assert len(arms["tracache"].plan.steps) == 10


def test_a_step_of_wan_is_two_calls():
    """Of 32,760 tokens each; no paper at hand says what this size costs."""
    assert macs_of("wan-2.1-1.3b", steps=1)["full"].macs == pytest.approx(283e12, rel=1e-3)


def test_where_nothing_can_be_counted_it_is_said(capsys):
    request = make_request("lumina-2", "a red cube", seed=0, steps=10, compute=4)
    found = estimate(request)
    assert "computes what its inputs' values say" in found.note
    assert [(arm.macs, arm.share) for arm in found.arms] == [(None, 1.0), (None, 0.4)]
    assert found.describe()[-1] == found.note
    assert main(["bench", "--macs", "--model", "lumina-2", "--steps", "10"]) == 2
    assert "computes what its inputs' values say" in capsys.readouterr().err


def test_the_published_method_skips_blocks_and_nothing_else():
    arms = macs_of("flux.1-dev", steps=50, compute=10, arms=["published", "reuse"])
    assert arms["published"].macs == arms["reuse"].macs
    assert 0.2 < arms["published"].share < 0.201


def test_the_plan_is_the_pipelines_own_schedule():
    request = make_request("flux.1-dev", "a red cube", steps=28, compute=8)
    full, planned = plans(request)
    assert full.steps == tuple(range(28))
    assert len(planned.steps) == 8
    assert planned.steps[0] == 0


def test_bench_counts_a_stock_model(capsys):
    assert main(["bench", "--macs", "--model", "sdxl", "--steps", "10", "--compute", "4"]) == 0
    assert "2.50" in capsys.readouterr().out


def test_working_memory_is_what_lives_at_once():
    with count_live() as live:
        first = torch.empty(1000, device="meta")
        second = first + 1
        del first
        third = second.view(10, 100) * 2
    assert (live.now, live.peak) == (8000, 8000)
    del second, third
    query = torch.empty(1, 2, 5000, 8, device="meta", dtype=torch.bfloat16)
    with count_live() as live:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    # No scores, which would be 5000 × 5000.
    assert live.peak == query.nbytes


def test_a_step_on_shapes_is_a_step():
    """Counted without numbers as with them, on a tiny pipeline of the same classes."""
    from dataclasses import replace

    published = PIPELINES["Wan-AI/Wan2.1-T2V-1.3B-Diffusers"]
    tiny = {"num_attention_heads": 1, "attention_head_dim": 24, "ffn_dim": 8, "num_layers": 1}
    small = replace(published, denoiser=("WanTransformer3DModel", {**tiny, "text_dim": 4096}))
    step = capture_step(small, VideoSize(32, 32, 5, 8.0), 5.0)
    assert isinstance(step, Step)
    assert len(step.calls) == 2
    with count_macs() as counted:
        step.run()
    with torch.device("cpu"):
        real = diffusers.WanTransformer3DModel(**small.denoiser[1]).eval()
    with torch.no_grad(), count_macs() as found:
        for args, kwargs in step.calls:
            real(*args, **{k: _numbers(v) for k, v in kwargs.items()})
    assert counted.total == found.total


def _numbers(value):
    return torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, torch.Tensor) else value
