"""The doctor: known faults of caches are found, each by what it does, and ours have none."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils import _pytree as pytree

from tests.caching.test_pipelines import sd15
from tests.caching.zoo import Inputs, make
from tests.models.stock import write_stock
from tracache.caching.discover import Arguments
from tracache.cli.main import main
from tracache.experiments.doctor import (
    FAULT,
    HEALTHY,
    UNKNOWN,
    WARNING,
    Ask,
    Subject,
    examine,
    find_cache,
    of_pipeline,
)
from tracache.experiments.doctor.judgements import distance, judge_linear, judge_skips, judge_time
from tracache.models.registry import MODELS

STEPS = 8


class Loop:
    """A loop of one's own around a denoiser, that resets nothing and names no calls."""

    def __init__(self, name, calls=1):
        self.model = make(name)
        self.inputs, self.reads = Inputs(name, self.model), Arguments(self.model)
        self.given = {1: [self.inputs(0.5, seed) for seed in range(calls)]}
        self.items = len(self.given[1][0][self.reads.latents])
        self.given[2] = [self.doubled(given) for given in self.given[1]]

    def doubled(self, tree):
        def twice(x):
            batched = isinstance(x, torch.Tensor) and x.dim() and len(x) == self.items
            return torch.cat([x, x]) if batched else x

        return pytree.tree_map(twice, tree)

    def __call__(self, ask):
        if ask.resized:
            raise ValueError("one size only")
        given, ends = self.given[ask.batch], []
        latents = given[0][self.reads.latents]
        for step in range(ask.steps):
            share = 1 - step / ask.steps
            new = self.inputs(share)
            new = self.doubled(new) if ask.batch == 2 else new
            times = {k: v for k, v in new.items() if "time" in k or k == "t"}
            moved = pytree.tree_map(lambda x: x * (1 + share), latents)  # noqa: B023
            answers = [self.model(**{**g, **times, self.reads.latents: moved}) for g in given]
            floats = [x for x in pytree.tree_leaves(answers[-1]) if x.is_floating_point()]
            ends.append(floats[0])
        return ends


def subject(name, calls=1):
    loop = Loop(name, calls)
    return Subject(loop, (loop.model,), name)


def found(name, cache, calls=1, steps=6, **settings):
    return examine(subject(name, calls), find_cache(cache, settings), steps)


@pytest.mark.parametrize("name", ["WanTransformer3DModel", "LTXVideoTransformer3DModel"])
def test_a_cache_that_silently_does_nothing(name):
    """Diffusers' TaylorSeer looks for modules that end in ``attn``; here they are ``attn1``."""
    seen = found(name, "taylorseer")
    assert seen.of("skipped steps").status == FAULT
    assert seen.of("skipped steps").figures["share_of_macs"] == 1
    assert seen.of("attaches").status == HEALTHY
    assert seen.of("constant features").status == UNKNOWN


@pytest.mark.parametrize(
    "name, cache",
    [
        ("DiTTransformer2DModel", "taylorseer-lite"),
        ("WanVACETransformer3DModel", "mag"),
        ("WanVACETransformer3DModel", "first-block"),
    ],
)
def test_a_cache_that_answers_wrongly(name, cache):
    """DiT has no ``proj_out`` to forecast; WanVACE adds something after a block that is skipped."""
    seen = found(name, cache).of("constant features")
    assert seen.status == FAULT
    assert seen.figures["error"] > 0.05
    assert "is not what this denoiser reads" in seen.sentence


def test_what_leaks_where_nobody_resets():
    seen = found("FluxTransformer2DModel", "taylorseer", steps=STEPS)
    for about in ("second run", "after all these"):
        assert seen.of(about).status == FAULT
        assert "reset its state between runs" in seen.of(about).sentence
    assert seen.of("second run").figures["after_a_reset"] == 0
    for about in ("skipped steps", "detached", "constant features", "linear series"):
        assert seen.of(about).status == HEALTHY


def test_cache_dit_has_to_be_refreshed():
    pytest.importorskip("cache_dit")
    seen = found("PixArtTransformer2DModel", "cache-dit", steps=STEPS, stride=2, max_order=1)
    assert seen.of("second run").status == FAULT
    assert "; reset its state between runs" in seen.of("second run").sentence
    for about in ("skipped steps", "detached", "constant features", "linear series"):
        assert seen.of(about).status == HEALTHY


def test_a_phase_that_leaks_after_another_number_of_steps():
    """PyramidAttentionBroadcast counts on: a second run of six steps is in step, by chance."""
    seen = found("PixArtTransformer2DModel", "pab")
    assert seen.of("second run").status == HEALTHY
    assert seen.of("after all these").status == FAULT
    assert "reset its state between runs" in seen.of("after all these").sentence


def test_two_calls_of_a_step_that_are_mixed():
    seen = found("PixArtTransformer2DModel", "pab", calls=2)
    assert seen.of("constant features").status == FAULT
    assert "mixes the 2 calls of a step" in seen.of("constant features").sentence


@pytest.mark.parametrize("threshold, words", [(1e-6, "raise it"), (1e6, "lower it")])
def test_an_inert_threshold(threshold, words):
    seen = found("PixArtTransformer2DModel", "first-block", threshold=threshold)
    assert seen.of("threshold").status == WARNING
    assert words in seen.of("threshold").sentence
    assert seen.of("skipped steps").status == (WARNING if threshold < 1 else HEALTHY)


def test_a_forecast_that_is_none():
    """Reuse, which says that it forecasts linearly."""
    cache = replace(find_cache("published", {"order": "fixed", "max_order": 0}), order=1, points=2)
    seen = examine(subject("PixArtTransformer2DModel"), cache, STEPS).of("linear series")
    assert seen.status == FAULT
    # The second skipped step after a computed one misses two steps of the motion.
    assert seen.figures["worst_in_steps"] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    "name, calls",
    [
        ("PixArtTransformer2DModel", 2),
        ("FluxTransformer2DModel", 1),
        ("WanTransformer3DModel", 1),
        pytest.param("WanVACETransformer3DModel", 1, marks=pytest.mark.slow),
        pytest.param("UNet2DConditionModel", 1, marks=pytest.mark.slow),
        pytest.param("ZImageTransformer2DModel", 1, marks=pytest.mark.slow),
    ],
)
def test_the_method_as_published_is_healthy(name, calls):
    seen = found(name, "published", calls, STEPS)
    assert [f.sentence for f in seen.findings if f.status in (FAULT, WARNING)] == []
    skipped = seen.of("skipped steps").figures
    assert (skipped["calls"], skipped["skipped"]) == (STEPS * calls, 5 * calls)
    assert seen.of("constant features").status == HEALTHY


@pytest.mark.parametrize(
    "cache",
    [
        "tracache",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("published", "taylorseer")),
    ],
)
def test_on_a_pipeline(cache):
    """Of a UNet, which has no ``transformer_blocks`` at its root, TaylorSeer finds nothing."""
    pipe, given, size = sd15()
    pipe.set_progress_bar_config(disable=True)

    def call(ask):
        prompts = {k: torch.cat([v] * ask.batch) if "embeds" in k else v for k, v in given.items()}
        sides = dict.fromkeys(("height", "width"), 2 * size if ask.resized else size)
        made = torch.Generator().manual_seed(0)
        more = {"num_inference_steps": ask.steps, "output_type": "latent", "generator": made}
        return pipe(**prompts, **sides, **more)[0]

    seen = examine(of_pipeline(pipe, call), find_cache(cache), STEPS)
    faults = [finding.about for finding in seen.findings if finding.status == FAULT]
    assert faults == (["skipped steps"] if cache == "taylorseer" else [])
    assert seen.of("another size").status == HEALTHY
    if cache == "tracache":
        assert min(seen.of("skipped steps").figures["shares"]) == 0
        assert "against fewer steps" in {finding.about for finding in seen.findings}


def test_a_loop_that_does_not_run_is_nobodys_fault():
    def broken(ask: Ask):
        raise RuntimeError("no such thing")

    model = make("PixArtTransformer2DModel")
    with pytest.raises(ValueError, match="without a cache either: RuntimeError: no such thing"):
        examine(Subject(broken, (model,), "broken"), find_cache("published"))
    with pytest.raises(ValueError, match=r"cannot be counted: TypeError: .*flex_attention"):
        found("Kandinsky6SRTransformer3DModel", "published")
    with pytest.raises(ValueError, match="at least 4"):
        examine(Subject(broken, (model,), "broken"), find_cache("published"), 3)


def test_judgements():
    one = torch.ones(3)
    assert distance([one], [one]) == 0
    assert distance([1.5 * one], [one]) == pytest.approx(0.5)
    assert distance([one / 0], [one]) == distance([one[:2]], [one]) == float("inf")
    assert judge_skips([8, 2, 8], [8, 8, 8]).figures["share_of_macs"] == 0.75
    assert judge_skips([8], [8, 8]).status == FAULT
    assert judge_linear([], 2, 1).status == UNKNOWN
    assert judge_time(2.0, 3.0, 0.5).status == WARNING
    assert judge_time(2.0, 1.2, 0.5).status == HEALTHY


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--cache", "foo"], "unknown cache 'foo'; choose from tracache, published"),
        (["--cache", "mag", "--set", "strid=3"], "mag has no strid: it has threshold"),
        (["--set", "stride"], "--set takes NAME=VALUE"),
        (["--cache", "published", "--set", "stride=0"], "stride must be a whole number"),
        (["--steps", "2"], "steps must be a whole number from 4"),
        (["--json", "/nowhere/x.json"], "there is no folder /nowhere"),
    ],
)
def test_bad_input_is_a_sentence(argv, words, capsys):
    assert main(["doctor", "--pipe", "scenes-t2i", *argv]) == 2
    assert words in capsys.readouterr().err


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRACACHE_DEVICE", "cpu")
    monkeypatch.setenv("TRACACHE_MODELS", "")
    made = write_stock(tmp_path, "sdxl", "somebody/tiny-sdxl")
    folder = Path(shutil.copytree(made, tmp_path / "tiny-doctored"))
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 4}))
    file = tmp_path / "found.json"
    argv = ["doctor", "--pipe", str(folder), "--steps", "4", "--json", str(file), "--cache"]
    try:
        assert main([*argv, "published"]) == 0
        assert "TraCache as published on folder:tiny-doctored, 4 steps" in capsys.readouterr().out
        assert json.loads(file.read_text())["findings"][0]["sentence"] == "it attaches and runs"
        assert main([*argv, "taylorseer"]) == 1
        assert "it does nothing: all 4 calls" in capsys.readouterr().out
    finally:
        MODELS.pop("folder:tiny-doctored", None)
