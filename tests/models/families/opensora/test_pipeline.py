"""The pipeline: its schedule against the published one, its text, its forms of output."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import T5Config, T5EncoderModel

import tracache
from tests.models.families.opensora.conftest import about, case
from tracache import TraCacheConfig
from tracache.caching.layouts import block_equivalents, count_module_calls
from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.families.opensora.schedule import (
    make_flow_scheduler,
    set_timesteps,
    time_shift,
)
from tracache.models.families.opensora.sizes import SIZES
from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.models.families.opensora.text import clean_caption, with_scores
from tracache.models.families.opensora.vae import VideoAutoencoder
from tracache.training.text import build_tokenizer

SPATIAL = {
    "block_out_channels": [4, 4, 8, 8],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEMPORAL = {"filters": 8, "num_res_blocks": 1, "num_groups": 2}
SMALL = {"height": 16, "width": 24, "num_frames": 5, "num_inference_steps": 3}
PROMPT = "a shiny red sphere on water at sunset"


@pytest.fixture(scope="module")
def pipe():
    torch.manual_seed(0)
    text = T5EncoderModel(
        T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    )
    transformer = STDiT3(
        depth=1, hidden_size=16, num_heads=2, caption_channels=16, model_max_length=20
    )
    vae = VideoAutoencoder(spatial=SPATIAL, temporal=TEMPORAL)
    scheduler = make_flow_scheduler()
    pipe = OpenSoraPipeline(
        build_tokenizer(), text.eval(), transformer.eval(), vae.eval(), scheduler
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call(pipe, prompt=PROMPT, **changes):
    settings = {**SMALL, "output_type": "latent", "clean_caption": False, **changes}
    if "latents" not in settings:
        settings.setdefault("generator", torch.Generator().manual_seed(1))
    return pipe(prompt, **settings).frames


def test_the_trajectory_is_the_published_one():
    """A toy velocity, followed from the published noise: every z and every timestep."""
    tensors, told = case("rflow"), about("rflow")["cases"]["t2v_480p_fp32cond"]
    text = torch.cat([tensors["text/y"], tensors["text/y_null"][None, None].expand(2, -1, -1, -1)])
    bias = text.mean((1, 2, 3)).view(-1, 1, 1, 1, 1)
    shift = time_shift(480, 854, 51)
    assert shift == pytest.approx(4.8431199, abs=1e-6)
    scheduler, z = make_flow_scheduler(), tensors["z0"]
    set_timesteps(scheduler, told["steps"], shift)
    assert torch.allclose(
        scheduler.timesteps, torch.tensor(told["timesteps_item0"]), rtol=1e-6, atol=1e-3
    )
    for i, t in enumerate(scheduler.timesteps):
        expected = tensors["t2v_480p_fp32cond/z_in"][i]
        assert (z - expected).norm() / expected.norm() <= 1e-5, i
        both = torch.cat([z, z])
        v = 0.5 * both.sin() + t / 1000 * (2 * both).cos() + bias
        conditional, unconditional = v.chunk(2)
        v = unconditional + told["cfg"] * (conditional - unconditional)
        z = scheduler.step(-v, t, z, return_dict=False)[0]
    expected = tensors["t2v_480p_fp32cond/out"]
    assert (z - expected).norm() / expected.norm() <= 1e-5


def test_images_have_a_shift_of_their_own():
    assert time_shift(512, 512, 1) == 1
    assert time_shift(512, 512, 17) == pytest.approx(5**0.5)


def test_every_form_of_output(pipe):
    latents = call(pipe)
    assert latents.shape == (1, 4, 2, 2, 3)
    assert latents.dtype == torch.float32
    pixels = call(pipe, output_type="pt")
    assert pixels.shape == (1, 3, 5, 16, 24)
    assert 0 <= pixels.min() <= pixels.max() <= 1
    array = call(pipe, output_type="np")
    assert array.shape == (1, 5, 16, 24, 3)
    (frames,) = call(pipe, output_type="pil")
    assert isinstance(frames[0], Image.Image)
    assert np.array_equal(np.stack([np.asarray(frame) for frame in frames]), array[0])
    (same,) = pipe(
        PROMPT,
        **SMALL,
        output_type="latent",
        clean_caption=False,
        return_dict=False,
        generator=torch.Generator().manual_seed(1),
    )
    assert torch.equal(same, latents)


def test_seeds_make_videos_and_a_batch_does_not_matter(pipe):
    first = call(pipe)
    assert torch.equal(call(pipe), first)
    other = call(pipe, generator=torch.Generator().manual_seed(2))
    assert not torch.allclose(other, first, atol=1e-3)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    both = call(pipe, [PROMPT] * 2, generator=generators)
    assert torch.allclose(both, torch.cat([first, other]), atol=1e-5)
    assert torch.equal(
        call(pipe, latents=pipe.noise(1, 16, 24, 5, torch.Generator().manual_seed(1))), first
    )


def test_guidance_is_off_up_to_1(pipe):
    calls = []
    hook = pipe.transformer.register_forward_hook(lambda m, args, out: calls.append(len(out)))
    call(pipe, guidance_scale=1.0)
    call(pipe, guidance_scale=2.0)
    hook.remove()
    assert calls == [1, 1, 1, 2, 2, 2]


def test_the_null_text_is_the_learned_one(pipe):
    """With the prompt's features equal to it, guidance changes nothing."""
    null = pipe.transformer.y_embedder.y_embedding[None, None]
    given = {"prompt_embeds": null, "prompt_mask": torch.ones(1, 20)}
    weak = call(pipe, None, guidance_scale=1.0, **given)
    strong = call(pipe, None, guidance_scale=9.0, **given)
    assert torch.allclose(weak, strong, atol=1e-4)


def test_callbacks_see_every_step_and_may_change_it(pipe):
    seen = []

    def look(_, step, timestep, tensors):
        seen.append((step, float(timestep)))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 2 else tensors

    assert torch.equal(call(pipe, callback_on_step_end=look), torch.zeros(1, 4, 2, 2, 3))
    assert [step for step, _ in seen] == [0, 1, 2]
    assert seen[0][1] == pytest.approx(1000)


def test_it_is_accelerated_like_any_pipeline(pipe):
    full = call(pipe, num_inference_steps=9)
    config = TraCacheConfig(stride=3)
    with (
        count_module_calls(pipe.transformer) as calls,
        tracache.accelerate(pipe, config, trace="all") as trace,
    ):
        first = call(pipe, num_inference_steps=9)
    assert block_equivalents(calls) == 3 * 2
    assert trace.labels == ("0 spatial", "0 temporal")
    assert trace.computed.tolist() == [True, False, False] * 3
    with tracache.accelerate(pipe, config):
        assert torch.equal(call(pipe, num_inference_steps=9), first)
    assert not torch.equal(first, full)
    assert torch.equal(call(pipe, num_inference_steps=9), full)


def test_a_shift_of_its_own_is_kept_with_the_model(pipe, tmp_path):
    timesteps = []
    for shift in (None, 1.0):
        modules = {name: getattr(pipe, name) for name in pipe.components}
        OpenSoraPipeline(**modules, shift=shift).save_pretrained(tmp_path)
        again = OpenSoraPipeline.from_pretrained(tmp_path)
        again.set_progress_bar_config(disable=True)
        call(again, num_inference_steps=4)
        timesteps.append(again.scheduler.timesteps.tolist())
    assert timesteps[1] == pytest.approx([1000, 750, 500, 250])
    assert timesteps[0][1] < 750  # small pictures linger at low noise


def test_an_image_has_one_frame(pipe):
    (frames,) = call(pipe, num_frames=1, output_type="pil")
    assert len(frames) == 1


def test_saved_and_loaded_it_makes_the_same_video(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = OpenSoraPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(call(again), call(pipe))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"output_type": "gif"}, "unknown output_type 'gif'"),
        ({"num_inference_steps": 0}, "at least 1"),
        ({"width": None}, "height and width go together"),
        ({"height": None, "width": None, "resolution": "8k"}, "unknown resolution '8k'"),
        ({"prompt": None}, "give a prompt, or prompt_embeds"),
    ],
)
def test_bad_input_is_refused(pipe, changes, words):
    with pytest.raises(ValueError, match=words):
        pipe(**{"prompt": PROMPT, **SMALL, **changes})


def test_sizes_keep_area_and_ratio():
    assert SIZES.size_of() == (480, 854)
    for resolution, short in SIZES.resolutions.items():
        for ratio in SIZES.ratios:
            height, width = SIZES.size_of(resolution, ratio)
            tall, wide = map(int, ratio.split(":"))
            assert height % 2 == width % 2 == 0
            assert height / width == pytest.approx(tall / wide, rel=0.02)
            assert height * width == pytest.approx(short**2 * 16 / 9, rel=0.02)
    with pytest.raises(ValueError, match="unknown aspect ratio '5:4'"):
        SIZES.size_of("480p", "5:4")


def test_scores_are_appended_unless_said():
    assert with_scores("a cat") == "a cat aesthetic score: 6.5."
    full = with_scores("a cat", 7, 5, "pan left")
    assert full == "a cat aesthetic score: 7.0. motion score: 5.0. camera motion: pan left."
    assert with_scores("a cat. aesthetic score: 5.0.") == "a cat. aesthetic score: 5.0."
    assert with_scores("a cat", None) == "a cat"


def test_captions_are_cleaned():
    dirty = "  A <b>Cat</b> &amp; a dog https://example.com/x  on the #1234567 street "
    assert clean_caption(dirty) == "a cat a dog on the street"
