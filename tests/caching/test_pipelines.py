"""Stock pipelines, tiny: each calls its denoiser in a way of its own, and every call is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    ChromaPipeline,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    Lumina2Pipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
    WanPipeline,
    ZImagePipeline,
)

import tracache
from tests.caching.zoo import make
from tracache import TraCacheConfig

CONFIG = TraCacheConfig(stride=3, max_order=1, order="fixed")
WHOLE = ([0, 3, 6], 8)


def vae(channels=4):
    return AutoencoderKL(
        latent_channels=channels,
        block_out_channels=(4,),
        norm_num_groups=2,
        shift_factor=0.0,
        scaling_factor=1.0,
    ).eval()


def text(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def flow(**config):
    return FlowMatchEulerDiscreteScheduler(**config)


def flux(**more):
    model = make("FluxTransformer2DModel")
    pipe = FluxPipeline(flow(), vae(1), None, None, None, None, model)
    given = {"prompt_embeds": text(1, 6, 32), "pooled_prompt_embeds": text(1, 32)}
    return pipe, {**given, **more}, 16


def flux_twice():
    negative = {
        "negative_prompt_embeds": text(1, 6, 32, seed=1),
        "negative_pooled_prompt_embeds": text(1, 32, seed=1),
    }
    return flux(true_cfg_scale=2.0, **negative)


def sd3():
    nothing = [None] * 6
    pipe = StableDiffusion3Pipeline(make("SD3Transformer2DModel"), flow(), vae(), *nothing)
    given = {
        "prompt_embeds": text(1, 7, 32),
        "pooled_prompt_embeds": text(1, 64),
        "negative_prompt_embeds": text(1, 7, 32, seed=1),
        "negative_pooled_prompt_embeds": text(1, 64, seed=1),
        "skip_guidance_layers": [1],
        "skip_layer_guidance_start": 0.1,
        "skip_layer_guidance_stop": 0.6,
    }
    return pipe, given, 16


def z_image():
    pipe = ZImagePipeline(flow(), vae(16), None, None, make("ZImageTransformer2DModel"))
    given = {"prompt_embeds": [text(6, 16)], "negative_prompt_embeds": [text(5, 16, seed=1)]}
    return pipe, {**given, "guidance_scale": 3.0}, 32


def lumina():
    mask = torch.ones(1, 6, dtype=torch.bool)
    pipe = Lumina2Pipeline(make("Lumina2Transformer2DModel"), flow(), vae(), None, None)
    given = {
        "prompt_embeds": text(1, 6, 32),
        "prompt_attention_mask": mask,
        "negative_prompt_embeds": text(1, 6, 32, seed=1),
        "negative_prompt_attention_mask": mask,
        "guidance_scale": 3.0,
        "cfg_trunc_ratio": 0.5,
    }
    return pipe, given, 16


def chroma():
    pipe = ChromaPipeline(flow(), vae(1), None, None, make("ChromaTransformer2DModel"))
    given = {
        "prompt_embeds": text(1, 6, 32),
        "prompt_attention_mask": torch.ones(1, 6),
        "negative_prompt_embeds": text(1, 6, 32, seed=1),
        "negative_prompt_attention_mask": torch.ones(1, 6),
        "guidance_scale": 3.0,
    }
    return pipe, given, 16


def wan():
    decoder = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    pipe = WanPipeline(None, None, decoder, scheduler, make("WanTransformer3DModel"))
    given = {
        "prompt_embeds": text(1, 6, 16),
        "negative_prompt_embeds": text(1, 6, 16, seed=1),
        "num_frames": 5,
        "guidance_scale": 3.0,
    }
    return pipe, given, 16


def sd15():
    unet = make("UNet2DConditionModel")
    pipe = StableDiffusionPipeline(
        vae(), None, None, unet, DDIMScheduler(), None, None, requires_safety_checker=False
    )
    given = {"prompt_embeds": text(1, 5, 8), "negative_prompt_embeds": text(1, 5, 8, seed=1)}
    return pipe, {**given, "guidance_scale": 3.0}, 8


#: What is computed of how many calls, by context.
EXPECTED = {
    flux: {"cond": WHOLE},
    flux_twice: {"cond": WHOLE, "uncond": WHOLE},
    sd3: {None: WHOLE, "call 2": ([0, 3], 4)},
    z_image: {None: WHOLE},
    lumina: {None: WHOLE, "call 2": ([0, 3], 4)},
    chroma: {None: WHOLE, "call 2": WHOLE},
    wan: {"cond": WHOLE, "uncond": WHOLE},
    sd15: {None: WHOLE},
}


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("made", EXPECTED, ids=lambda made: made.__name__)
def test_every_call_of_a_stock_pipeline_is_told(made, told):
    pipe, given, size = made()
    pipe.set_progress_bar_config(disable=True)
    denoiser = getattr(pipe, "transformer", None) or pipe.unet

    def run():
        return pipe(
            **given,
            height=size,
            width=size,
            num_inference_steps=8,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
        )[0]

    handle = tracache.attach(denoiser, CONFIG, scheduler=pipe.scheduler if told else None)
    first = run()
    for actual, expected in zip(run(), first, strict=True):
        assert torch.equal(torch.as_tensor(actual), torch.as_tensor(expected))
    found = {
        name: (np.flatnonzero(trace.computed).tolist(), len(trace))
        for name, trace in handle.traces.items()
        if len(trace)
    }
    assert found == EXPECTED[made]
    if told:
        assert np.allclose(handle.trace.timesteps, pipe.scheduler.timesteps, rtol=1e-6)
    handle.detach()


def test_blocks_of_any_denoiser_are_shown_beside_a_plan():
    """FLUX: two kinds of blocks, of which the one returns a pair; and no picture changes."""
    pipe, given, size = flux()
    pipe.set_progress_bar_config(disable=True)

    def run(**more):
        with tracache.accelerate(pipe, full_steps=(0, 2, 4, 6), space="noise", **more) as trace:
            found = pipe(
                **given,
                height=size,
                width=size,
                num_inference_steps=8,
                output_type="latent",
                generator=torch.Generator().manual_seed(0),
            )[0]
        return found, trace

    bare, _ = run()
    found, trace = run(trace="all")
    assert torch.equal(found, bare)
    blocks = pipe.transformer
    names = [f"transformer_blocks.{i}" for i in range(len(blocks.transformer_blocks))]
    names += [
        f"single_transformer_blocks.{i}" for i in range(len(blocks.single_transformer_blocks))
    ]
    assert trace.labels == (*names, "prediction")
    skipped = trace.orders[~trace.computed]
    assert (skipped >= 0).all()
    assert np.isfinite(trace.spreads[7, :-1]).all()
    assert set(run(trace=[names[0]])[1].orders[1, :-1]) == {0, -2}
