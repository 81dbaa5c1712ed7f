"""The stock family: pipelines of many kinds, by their registry entries alone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from tests.models.twins import CLIP, TWINS, publish, write_twins
from tracache.caching.layouts import find_blocks
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arms import ARMS, Setup
from tracache.compare.comparison import run
from tracache.compare.counting import block_lists, denoisers_of
from tracache.compare.estimate import estimate
from tracache.compare.preview import Glimpses, Palette
from tracache.compare.request import make_request
from tracache.compare.sampling import decode, prepare, sample
from tracache.compare.serialise import from_given, from_query, given_of, to_command, to_query
from tracache.models import loading
from tracache.models.families.stock import StockFamily
from tracache.models.loading import load_model
from tracache.models.pipelines import PIPELINES
from tracache.models.placement import Placement
from tracache.models.reading import Reader
from tracache.models.registry import MODELS
from tracache.settings import Settings

ASSETS = Path(__file__).resolve().parents[2] / "demo_assets"
PROMPT = "a red cube"
STEPS = 4


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Twins in a folder of ``TRACACHE_MODELS``, made in the size that their entries then say."""
    root = tmp_path_factory.mktemp("stock")
    with pytest.MonkeyPatch.context() as patch:
        for model_id, spec in write_twins(root).items():
            patch.setitem(MODELS, model_id, spec)
        yield Settings(
            assets=ASSETS, device="cpu", host="127.0.0.1", port=7860, deadline_s=60, models=root
        )


def ask(model_id, **changes):
    asked = {"seed": 1, "steps": STEPS, "compute": 2, **changes}
    return make_request(model_id, PROMPT, **asked)


def alone(call):
    """Run in a thread of its own, as comparisons do: the order of sums depends on threads."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def plain_picture(model_id, settings, **changes):
    """The picture of a plain call of the pipeline, as in somebody's script."""
    spec = MODELS[model_id]
    pipe = DiffusionPipeline.from_pretrained(settings.models / spec.source)
    pipe.set_progress_bar_config(disable=True)
    given = {**TWINS[model_id][1], **changes}
    if spec.makes_video:
        given["num_frames"] = CLIP.frames
    if model_id != "sdxl":
        given["max_sequence_length"] = spec.max_tokens
    return pipe(
        PROMPT,
        height=32,
        width=32,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(1),
        output_type="pil",
        **given,
    )[0][0]


def pixels(picture):
    frames = getattr(picture, "frames", picture)
    frames = frames if isinstance(frames, tuple | list) else [picture]
    return np.stack([np.asarray(frame) for frame in frames])


@pytest.fixture(scope="module", params=TWINS)
def model(request, settings):
    """Each of them in turn, for all tests that are about every one."""
    return load_model(request.param, settings)


def test_a_comparison(settings, model):
    model_id = model.spec.id
    report = run(model, ask(model_id, arms=["tracache", "published", "fewer-steps"]))
    full, fast, published, fewer = report.arms
    # Full compute is the picture that diffusers makes without us.
    plain = alone(lambda: plain_picture(model_id, settings))
    assert np.array_equal(pixels(full.image), pixels(plain))
    assert pixels(full.image).std() > 1
    assert (fast.full_steps, fewer.num_steps) == (2, 2)
    assert fast.block_calls * 2 == full.block_calls
    assert fewer.block_calls * 2 == full.block_calls
    assert published.full_steps == 2
    assert published.block_calls < full.block_calls
    assert 1 < published.speed_up_macs < 2
    assert 0 < published.latent_error < 10
    assert fast.speed_up_macs == pytest.approx(2, rel=0.1)
    assert 0 < fast.latent_error < 10
    blocks = len(find_blocks(*denoisers_of(model.pipe)))
    assert report.trace.orders.shape == (STEPS, blocks + 1)
    for denoiser in denoisers_of(model.pipe):
        assert len(block_lists(denoiser)) > 1
    # Everything that stood in for the pipeline's parts is gone.
    left = {"encode_prompt", "prepare_latents", "progress_bar"}
    assert not left & vars(model.pipe).keys()
    assert not {"step", "set_timesteps"} & vars(model.pipe.scheduler).keys()


def test_a_plan_that_computes_all_is_full_compute(settings, model):
    spec = model.spec
    calls = []
    count = model.pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    inputs = prepare(model, [PROMPT], [1], spec.guidance_scale, spec.schedulers[0])
    read = len(calls)
    full = sample(model, inputs, Setup(STEPS))
    every = sample(model, inputs, Setup(STEPS, PlannedConfig(compute=STEPS)))
    picture = decode(model, inputs, full.latents)[0]
    count.remove()
    assert torch.equal(full.latents, every.latents)
    assert full.block_calls == every.block_calls
    assert pixels(picture).shape[1:] == (32, 32, 3)
    # The prompt was read once for all of it.
    assert len(calls) == read > 0


@pytest.mark.parametrize("model_id", ["flux.1-dev", "qwen-image", "wan-2.1-1.3b", "sdxl"])
def test_what_reads_prompts_may_be_elsewhere(settings, model_id):
    model = load_model(model_id, settings)
    spec, family = model.spec, model.spec.family
    source = settings.models / spec.source

    def load(without):
        return family.load((source,), torch.float32, True, without)

    rest = load(family.encoders)
    assert rest.text_encoder is rest.tokenizer is None
    args = (load, lambda: load(("transformer", "vae")), model.device, model.dtype)
    reader = Reader(family, rest, Placement("encode-first"), *args[1:])
    elsewhere = replace(model, pipe=rest, reader=reader)
    inputs, latents = [], []
    for one in (model, elsewhere):
        inputs.append(prepare(one, [PROMPT], [1], spec.guidance_scale, spec.schedulers[0]))
        latents.append(alone(lambda one=one: sample(one, inputs[-1], Setup(2)).latents))
    assert torch.equal(*latents)
    assert len(decode(elsewhere, inputs[1], latents[1])) == 1


def test_a_batch_is_its_items(settings):
    model = load_model("sd3.5-medium", settings)

    def latents(prompts, seeds):
        inputs = prepare(model, prompts, seeds, 4.5, "as-published")
        done = sample(model, inputs, Setup(2))
        assert len(decode(model, inputs, done.latents)) == len(prompts)
        return done.latents

    both = latents(["a red cube", "a blue cone"], [1, 2])
    assert torch.allclose(both[1:], latents(["a blue cone"], [2]), atol=1e-2)


@pytest.mark.parametrize("model_id", ["flux.1-dev", "ltx-video", "wan-2.1-1.3b"])
def test_an_unfinished_picture_can_be_seen(settings, model_id):
    """Also where latents are a sequence of patches."""
    model = load_model(model_id, settings)
    spec = model.spec
    inputs = prepare(model, [PROMPT], [1], spec.guidance_scale, spec.schedulers[0])
    glimpses, seen = Glimpses(), []
    sample(
        model,
        inputs,
        Setup(STEPS),
        glimpses=glimpses,
        on_step=lambda *_: seen.append(glimpses.last.portable()),
    )
    done = sample(model, inputs, Setup(STEPS))
    # The estimate at the last step, which ends without noise, is the final latents.
    assert torch.allclose(seen[-1].estimate(), done.latents.float(), atol=1e-4)
    picture = decode(model, inputs, done.latents)[0]
    channels = 16 if model_id == "wan-2.1-1.3b" else None
    shown = Palette.fit(done.latents, picture, channels).render(seen[0].estimate())
    assert shown.width == shown.height > 1


def test_a_negative_prompt(settings):
    """It is that of a plain call, and what full compute is known by."""
    model = load_model("sd3.5-medium", settings)
    asked = ask("sd3.5-medium", negative_prompt="  a blue\ncone ", arms=[])
    assert asked.negative_prompt == "a blue cone"
    away = pixels(run(model, asked).arms[0].image)
    plain = alone(lambda: plain_picture("sd3.5-medium", settings, negative_prompt="a blue cone"))
    assert np.array_equal(away, pixels(plain))
    without = replace(asked, negative_prompt="", reuse_baseline=True)
    report = run(model, without)
    assert not report.arms[0].reused
    assert not np.array_equal(away, pixels(report.arms[0].image))
    assert from_given(from_query(to_query(given_of(asked)))) == asked
    assert "'--negative-prompt=a blue cone'" in to_command(given_of(asked))


def test_a_negative_prompt_that_would_do_nothing_is_refused():
    takes = {name for name in TWINS if MODELS[name].takes_negative}
    assert takes == TWINS.keys() - {"flux.1-dev"}
    for model_id in ("flux.1-dev", "scenes-t2i"):
        with pytest.raises(ValueError, match="takes no negative prompt: leave out"):
            ask(model_id, negative_prompt="a blue cone")
        assert ask(model_id, negative_prompt="").negative_prompt == ""
    with pytest.raises(ValueError, match="set guidance_scale above 1"):
        ask("sdxl", negative_prompt="a blue cone", guidance_scale=1.0)
    with pytest.raises(ValueError, match="the negative prompt has 801 characters"):
        ask("sdxl", negative_prompt="x" * 801)
    with pytest.raises(ValueError, match="the negative prompt"):
        ask("sdxl", negative_prompt=7)


def test_guidance_and_steps_reach_the_pipeline(settings):
    model = load_model("qwen-image", settings)

    def latents(guidance_scale):
        inputs = prepare(model, [PROMPT], [1], guidance_scale, "as-published")
        return sample(model, inputs, Setup(2))

    plain, guided = latents(1.0), latents(4.0)
    assert guided.block_calls == 2 * plain.block_calls
    assert not torch.equal(plain.latents, guided.latents)


@pytest.mark.parametrize("model_id", ["flux.1-dev", "sd3.5-medium", "wan-2.1-1.3b"])
def test_estimates_are_what_the_run_then_counts(settings, monkeypatch, model_id):
    model = load_model(model_id, settings)
    request = ask(model_id, trace=False, arms=["tracache", "published", "reuse", "fewer-steps"])
    unknown = estimate(request, settings)
    # Its folder holds something smaller than what was published.
    assert "is counted once it runs, not before" in unknown.describe()[-1]
    assert [arm.macs for arm in unknown.arms] == [None] * 5
    assert [arm.share for arm in unknown.arms] == [1.0, 0.5, None, None, 0.5]
    source = model.spec.source
    monkeypatch.setitem(PIPELINES, source, publish(model_id, settings.models / source))
    before = estimate(request, settings)
    for expected, found in zip(before.arms, run(model, request).arms, strict=True):
        assert expected.arm == found.arm
        assert expected.macs == found.macs


def test_what_needs_parts_of_blocks_is_refused():
    for arm in ("pab", "delta-dit", "teacache", "first-block", "toca"):
        with pytest.raises(ValueError, match=f"{ARMS[arm].title} is not for this model"):
            ask("flux.1-dev", arms=[arm])


def test_one_in_memory_at_a_time(settings):
    first = load_model("flux.1-dev", settings)
    assert load_model("flux.1-dev", settings) is first
    load_model("sdxl", settings)
    assert load_model("flux.1-dev", settings) is not first
    assert loading.why_unavailable("flux.1-dev", settings) == ""


def test_arguments_of_every_call_may_be_said_beforehand(settings):
    model = load_model("flux.1-dev", settings)
    other = replace(model.spec, family=StockFamily(sigmas=[1.0, 0.3]))
    inputs = prepare(model, [PROMPT], [1], 3.5, "as-published")
    plain = sample(model, inputs, Setup(2)).latents
    assert not torch.equal(sample(replace(model, spec=other), inputs, Setup(2)).latents, plain)
