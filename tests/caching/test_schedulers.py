"""Every scheduler of diffusers: right at the scheduler, or refused with a reason."""

from __future__ import annotations

import inspect

import diffusers
import pytest
import torch

from tests.caching.test_planned import BETAS, Denoiser, bent, denoise, integrate_again, noise
from tracache.caching.coordinates import gaussian_data
from tracache.caching.correct import read_coefficients
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.scheduled import ScheduledHandle

STEPS = 12
EVERY = sorted(
    name
    for name in dir(diffusers)
    if inspect.isclass(cls := getattr(diffusers, name))
    and issubclass(cls, diffusers.SchedulerMixin)
    and cls is not diffusers.SchedulerMixin
)

#: Not made for latents of a diffusion model: tokens, molecules, or pipelines of their own alone.
NOT_LATENTS = (
    "AmusedScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "RFD4ProteinaScheduler",
    "SCMScheduler",
    "VQDiffusionScheduler",
)


def make(name, steps=STEPS):
    """A scheduler as a latent diffusion pipeline would set it."""
    cls = getattr(diffusers, name)
    known = inspect.signature(cls.__init__).parameters
    config = {k: v for k, v in {**BETAS, "clip_sample": False}.items() if k in known}
    try:
        scheduler = cls(**config)
    except ValueError:
        # Some know one schedule of betas only.
        scheduler = cls()
    scheduler.set_timesteps(steps)
    return scheduler


def accepted(name):
    try:
        read_coefficients(make(name))
    except ValueError:
        return False
    return True


FITTING = [name for name in EVERY if name not in NOT_LATENTS and accepted(name)]


@pytest.mark.parametrize("name", EVERY)
def test_each_is_right_or_refused_in_a_sentence(name):
    if name in FITTING:
        return
    if name in NOT_LATENTS:
        with pytest.raises((ValueError, KeyError, TypeError)):
            make(name)
        return
    scheduler = make(name)
    with pytest.raises(ValueError, match=name) as refusal:
        read_coefficients(scheduler)
    assert len(str(refusal.value)) > 40


def test_those_that_people_use_are_among_the_right():
    names = ("DDIM", "DDPM", "DPMSolverMultistep", "UniPCMultistep", "EulerDiscrete", "LCM")
    names += ("EulerAncestralDiscrete", "DEISMultistep", "FlowMatchEulerDiscrete")
    assert {f"{name}Scheduler" for name in names} <= set(FITTING)


@pytest.mark.parametrize("name", FITTING)
def test_all_steps_are_full_compute_and_none_is_lost(name):
    scheduler, model = make(name), Denoiser(bent)
    want = denoise(scheduler, STEPS, model)
    handle = ScheduledHandle([model], scheduler, PlannedConfig(STEPS))
    assert torch.equal(denoise(scheduler, STEPS, model), want)
    assert len(handle.trace) == handle.trace.computed.sum() == STEPS
    handle.detach()


@pytest.mark.parametrize("name", FITTING)
def test_a_line_in_the_data_comes_out_exact(name):
    scheduler = make(name)
    model = Denoiser(lambda i, x, level: noise(3) + gaussian_data(level.log_snr) * noise(4))
    want = denoise(scheduler, STEPS, model)
    model.calls = 0
    handle = ScheduledHandle([model], scheduler, PlannedConfig(4, placement="even"))
    got = denoise(scheduler, STEPS, model)
    assert (model.calls, len(handle.trace)) == (4, STEPS)
    handle.detach()
    torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", FITTING)
def test_looking_back_is_integrating_the_gap_again(name):
    scheduler, seen = make(name), {}

    def watched(step, sample, level):
        seen[step] = bent(step, sample, level)
        return seen[step]

    config = PlannedConfig(4, placement="even", correct_order=2)
    model = Denoiser(watched)
    handle = ScheduledHandle([model], scheduler, config)
    got = denoise(scheduler, STEPS, model)
    handle.detach()
    want = integrate_again(make(name), STEPS, seen)
    torch.testing.assert_close(got, want, rtol=5e-4, atol=5e-4)
