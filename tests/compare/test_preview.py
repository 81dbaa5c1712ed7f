"""Previews: what is seen of an unfinished image, and that looking changes nothing."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from PIL import Image

from tracache.compare.preview import Glimpses, Palette
from tracache.media import Video


@pytest.mark.parametrize("make", [DDIMScheduler, DPMSolverMultistepScheduler])
def test_a_perfect_model_shows_the_image_at_every_step(make):
    scheduler = make(clip_sample=False) if make is DDIMScheduler else make()
    scheduler.set_timesteps(5)
    clean, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    glimpses = Glimpses()
    with glimpses.watch(scheduler):
        for t in scheduler.timesteps:
            noisy = scheduler.add_noise(clean, noise, t[None].long())
            scheduler.step(noise, t, noisy)
            estimate = glimpses.last.estimate()
            assert estimate.shape == (1, 3, 4, 4)
            assert torch.allclose(estimate, clean[:1], atol=2e-3)


def test_a_perfect_flow_shows_the_image_at_every_step():
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(5)
    clean, noise = torch.randn(1, 3, 2, 4, 4), torch.randn(1, 3, 2, 4, 4)
    glimpses = Glimpses()
    with glimpses.watch(scheduler):
        for t in scheduler.timesteps:
            share = t / 1000
            noisy = (1 - share) * clean + share * noise
            scheduler.step(noise - clean, t, noisy)
            assert torch.allclose(glimpses.last.estimate(), clean, atol=1e-3)


def test_the_scheduler_is_left_as_it_was():
    scheduler = DDIMScheduler()
    with Glimpses().watch(scheduler):
        assert "step" in vars(scheduler)
    assert "step" not in vars(scheduler)


def test_a_palette_finds_colours_that_are_linear_in_the_latents():
    latents = torch.rand(1, 4, 8, 8)
    mix = torch.rand(3, 4) / 4
    colours = torch.einsum("oc,chw->hwo", mix, latents[0])
    pixels = (colours * 255).round().byte().numpy().repeat(2, 0).repeat(2, 1)
    image = Image.fromarray(pixels)
    shown = Palette.fit(latents, image).render(latents)
    assert shown.size == (8, 8)
    off = np.abs(
        np.asarray(shown, float) - np.asarray(image.resize((8, 8), Image.Resampling.BOX), float)
    )
    assert off.max() <= 6


def test_a_video_is_shown_by_its_middle():
    latents = torch.zeros(1, 2, 3, 4, 4)
    latents[:, 0, 1] = torch.rand(4, 4)
    frames = [Image.fromarray(np.full((8, 8, 3), 9, np.uint8)) for _ in range(5)]
    grey = (latents[0, 0, 1] * 255).round().byte().numpy().repeat(2, 0).repeat(2, 1)
    frames[2] = Image.fromarray(np.stack([grey] * 3, -1))
    shown = Palette.fit(latents, Video(tuple(frames), 8.0)).render(latents)
    box = np.asarray(frames[2].resize((4, 4), Image.Resampling.BOX), float)
    off = np.abs(np.asarray(shown, float)[..., 0] - box[..., 0])
    assert off.max() <= 8
