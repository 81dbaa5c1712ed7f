"""Where one run ends and the next begins, without a scheduler to tell: never mixed, never split."""

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiTPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PixArtAlphaPipeline,
)

import tracache
from tests.tiny import conditions, dit, pixart, stdit3
from tracache import TraCacheConfig
from tracache.caching.clock import RunClock
from tracache.models.families.opensora.pipeline import OpenSoraPipeline
from tracache.models.families.opensora.schedule import make_flow_scheduler
from tracache.models.families.opensora.vae import VideoAutoencoder

CONFIG = TraCacheConfig(stride=3, max_order=2)
SCHEDULERS = {
    "ddim": lambda: DDIMScheduler(clip_sample=False),
    "dpm-solver++": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
}


def vae():
    return AutoencoderKL(latent_channels=4, block_out_channels=(4,), norm_num_groups=2).eval()


class PixArt:
    """A stock pipeline of text to image, called with embeddings as its own encoder makes them."""

    def __init__(self, scheduler):
        self.pipe = PixArtAlphaPipeline(None, None, vae(), pixart(), SCHEDULERS[scheduler]())
        generator = torch.Generator().manual_seed(3)
        self.text = torch.randn(2, 2, 5, 12, generator=generator)

    def __call__(self, num_steps, scale, seed=0, batch=1):
        mask = torch.ones(batch, 5)
        return self.pipe(
            negative_prompt=None,
            prompt_embeds=self.text[0, :batch],
            prompt_attention_mask=mask,
            negative_prompt_embeds=self.text[1, :batch],
            negative_prompt_attention_mask=mask,
            num_inference_steps=num_steps,
            guidance_scale=scale,
            height=8,
            width=8,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
            use_resolution_binning=False,
        ).images


class DiT:
    """A stock pipeline of class to image."""

    def __init__(self, scheduler):
        self.pipe = DiTPipeline(dit(), vae(), SCHEDULERS[scheduler]())

    def __call__(self, num_steps, scale, seed=0, batch=1):
        images = self.pipe(
            [5, 7][:batch],
            num_inference_steps=num_steps,
            guidance_scale=scale,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images
        return torch.from_numpy(images)


class OpenSora:
    """The pipeline of text to video; the embeddings are the same tensors at every call."""

    def __init__(self, scheduler):
        spatial = {
            "block_out_channels": [4, 4, 8, 8],
            "layers_per_block": 1,
            "latent_channels": 4,
            "norm_num_groups": 2,
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
        }
        temporal = {"filters": 8, "num_res_blocks": 1, "num_groups": 2}
        decoder = VideoAutoencoder(spatial=spatial, temporal=temporal).eval()
        self.pipe = OpenSoraPipeline(None, None, stdit3(), decoder, make_flow_scheduler())
        self.text = torch.randn(2, 1, 5, 12, generator=torch.Generator().manual_seed(3))
        self.masks = [torch.ones(batch, 5, dtype=torch.bool) for batch in (1, 2)]
        self.texts = [self.text[:batch] for batch in (1, 2)]

    def __call__(self, num_steps, scale, seed=0, batch=1):
        return self.pipe(
            prompt_embeds=self.texts[batch - 1],
            prompt_mask=self.masks[batch - 1],
            height=16,
            width=16,
            num_frames=5,
            num_inference_steps=num_steps,
            guidance_scale=scale,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
        ).frames


PIPES = {"pixart": PixArt, "dit": DiT, "opensora": OpenSora}
WAYS = [("pixart", s) for s in SCHEDULERS] + [("dit", s) for s in SCHEDULERS] + [("opensora", "")]


@pytest.fixture(params=WAYS, ids="-".join)
def stock(request):
    name, scheduler = request.param
    made = PIPES[name](scheduler)
    made.pipe.set_progress_bar_config(disable=True)
    return made


def break_off(stock, after, *call):
    """Begin a run and give it up between two forwards, as an interrupted callback does."""
    step, done = stock.pipe.scheduler.step, []

    def last_step(*args, **kwargs):
        done.append(None)
        if len(done) == after:
            raise InterruptedError
        return step(*args, **kwargs)

    stock.pipe.scheduler.step = last_step
    try:
        with pytest.raises(InterruptedError):
            stock(*call)
    finally:
        del stock.pipe.scheduler.step


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_broken_off_never_goes_on_in_the_next(stock, scale, after):
    """50 steps, given up; the next run's first timestep lies where the second might have been."""
    handle = tracache.attach(stock.pipe.transformer, CONFIG)
    expected = stock(10, scale)
    handle.reset()
    break_off(stock, after, 50, scale)
    assert len(handle.trace) == after
    assert torch.equal(stock(10, scale), expected)
    assert len(handle.trace) == 10
    assert np.flatnonzero(handle.trace.computed).tolist() == [0, 3, 6, 9]


def test_runs_broken_off_one_after_the_other(stock):
    handle = tracache.attach(stock.pipe.transformer, CONFIG)
    expected = stock(8, 4.0)
    handle.reset()
    for num_steps in (50, 25, 12):
        break_off(stock, 1, num_steps, 4.0)
    assert torch.equal(stock(8, 4.0), expected)
    assert len(handle.trace) == 8


@pytest.mark.parametrize("batch, scale", [(1, 1.0), (2, 4.0)])
def test_no_run_is_ever_split(stock, batch, scale):
    """What tells runs apart finds none within a run: the same steps skip as with a scheduler."""
    handle = tracache.attach(stock.pipe.transformer, CONFIG, scheduler=stock.pipe.scheduler)
    expected, computed = stock(12, scale, 0, batch), handle.trace.computed
    handle.detach()
    handle = tracache.attach(stock.pipe.transformer, CONFIG)
    for _ in range(2):
        assert torch.equal(stock(12, scale, 0, batch), expected)
        assert handle.trace.computed.tolist() == computed.tolist()
        assert np.flatnonzero(computed).tolist() == [0, 3, 6, 9]


# Loops of one's own


def walk(model, timesteps, inputs, made=None):
    """Run a model over timesteps; ``inputs()`` gives the conditions of each forward."""
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for t in timesteps:
            latents = latents - 0.1 * model(latents, timestep=t, **inputs()).sample


def fresh(timesteps):
    """Timesteps as a device gets them one by one from the host."""
    return [torch.full((2,), t) for t in timesteps]


@pytest.fixture(params=[pixart, dit])
def model(request):
    return request.param()


def test_conditions_tell_where_timesteps_do_not(model):
    """As DiT's pipeline on an accelerator: timesteps one by one, the same classes at each step."""
    handle = tracache.attach(model, CONFIG)
    for timesteps in ([980, 960], [900, 800, 700, 600], [550], [500, 400, 300]):
        given = conditions(model)
        walk(model, fresh(timesteps), lambda given=given: given)
        assert handle.trace.timesteps.tolist() == timesteps


def test_views_of_the_same_conditions_are_the_same(model):
    given = conditions(model, batch=4)
    handle = tracache.attach(model, CONFIG)
    walk(model, fresh(range(900, 0, -100)), lambda: {k: v[:2] for k, v in given.items()})
    assert np.flatnonzero(handle.trace.computed).tolist() == [0, 3, 6]


def test_entries_of_a_schedule_tell_where_conditions_do_not(model):
    """Conditions made anew at each step, or kept for all runs."""
    handle = tracache.attach(model, CONFIG)
    always = conditions(model)
    for inputs in (lambda: conditions(model), lambda: always):
        for values in (range(980, 920, -20), range(900, 0, -100), range(800, 200, -100)):
            schedule = torch.tensor(list(values))
            walk(model, (t[None].expand(2) for t in schedule), inputs)
            assert handle.trace.timesteps.tolist() == list(values)


def test_a_run_that_starts_in_the_middle_of_its_schedule(model):
    handle = tracache.attach(model, CONFIG)
    given = conditions(model)
    for start in (6, 9):
        schedule = torch.arange(19, -1, -1) * 50
        walk(model, (t[None].expand(2) for t in schedule[start:]), lambda: given)
        assert handle.trace.timesteps.tolist() == schedule[start:].tolist()
        handle.reset()
    # One schedule for two runs, the first given up: the second begins further down.
    walk(model, (t[None].expand(2) for t in schedule[2:4]), lambda: conditions(model))
    walk(model, (t[None].expand(2) for t in schedule[6:]), lambda: conditions(model))
    assert handle.trace.timesteps.tolist() == schedule[6:].tolist()


def test_a_loop_that_shows_nothing_is_refused(model):
    """It must neither be mixed up nor compute everything without a word."""
    handle = tracache.attach(model, CONFIG)
    with pytest.raises(RuntimeError, match=r"cannot be told.*scheduler=…"):
        walk(model, fresh(range(900, 0, -100)), lambda: conditions(model))
    given = conditions(model)
    walk(model, fresh(range(500, 0, -100)), lambda: given)
    assert len(handle.trace) == 5


def test_two_forwards_a_step_that_show_nothing_are_refused(model):
    tracache.attach(model, CONFIG)
    timesteps = [t for t in range(900, 0, -100) for _ in range(2)]
    with pytest.raises(RuntimeError, match=r"handle\.context"):
        walk(model, fresh(timesteps), lambda: conditions(model))


def test_numbers_as_timesteps():
    clock, latents, text = RunClock(), torch.zeros(1), torch.zeros(3)
    starts = [clock.tick(latents, t, [text, {"scale": torch.ones(1)}]) for t in (9, 8.5, 7)]
    assert starts == [True, False, False]
    other = torch.zeros(3)
    assert clock.tick(latents, 6, [other])
    assert not clock.tick(latents, 5, [other])


def test_a_condition_that_a_run_kept_and_the_next_lacks():
    """What all calls share, such as a constant of the caller, does not join their runs."""
    clock, latents, constant = RunClock(), torch.zeros(1), torch.zeros(3)
    first, second = torch.zeros(3), torch.zeros(3)
    assert clock.tick(latents, 9, [constant, first])
    assert not clock.tick(latents, 8, [constant, first])
    assert clock.tick(latents, 7, [constant, second])


def test_memory_that_is_used_again_is_not_taken_for_the_same():
    """An allocator gives the next run's tensors the place that the first one's had."""
    clock, latents = RunClock(), torch.zeros(1)
    places = set()
    for _ in range(3):
        clock.reset()
        for start in (9, 7):
            text = torch.zeros(1000)
            places.add(text.data_ptr())
            assert clock.tick(latents, start, [text])
            assert not clock.tick(latents, start - 1, [text])
            del text


def test_nothing_is_kept_alive():
    clock = RunClock()
    text = torch.zeros(3)
    clock.tick(torch.zeros(1), torch.arange(9, 0, -1)[0], [text])
    (kept,) = clock._evidence.conditions
    del text
    assert kept.expired()
