"""One scheduler serves one run: whatever would mix two up is refused, and leaves nothing behind."""

import copy
import threading

import pytest
import torch

import tracache
from tests.caching.test_pipelines import flux, flux_twice, lumina, sd3, sd15, z_image
from tests.tiny import conditions, denoise, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching import hooks, scheduled, turns
from tracache.methods import PlannedConfig

CONFIGS = {"planned": PlannedConfig(4), "published": TraCacheConfig(stride=3)}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.mark.parametrize("made", [sd15, flux])
def test_of_runs_on_four_threads_each_is_right_or_refused(made, config):
    pipe, given, size = made()
    pipe.set_progress_bar_config(disable=True)

    def run(seed):
        draws = torch.Generator().manual_seed(seed)
        call = {**given, "height": size, "width": size, "num_inference_steps": 6}
        return pipe(**call, generator=draws, output_type="latent").images

    ends, start = [], threading.Barrier(4)

    def work(first):
        start.wait()
        for seed in range(first, first + 6):
            try:
                ends.append((seed, run(seed)))
            except Exception as error:  # diffusers' own may come first, of a scheduler reset
                ends.append((seed, error))

    with tracache.accelerate(pipe, config):
        alone = {seed: run(seed) for seed in range(24)}
        threads = [threading.Thread(target=work, args=(6 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # And afterwards all is well.
        assert torch.equal(run(3), alone[3])
    assert len(ends) == 24
    refused = [end for _, end in ends if isinstance(end, Exception)]
    assert any("two threads" in str(error) for error in refused)
    for seed, end in ends:
        if isinstance(end, torch.Tensor):
            assert torch.equal(end, alone[seed])


@pytest.mark.parametrize("planned", [True, False])
def test_a_run_begins_once_another_threads_step_is_over(planned):
    """Else the scheduler would count that step as one of the new run."""
    model, made = pixart(), scheduler("dpm")
    within, may_end = threading.Event(), threading.Event()
    inner = made.step

    def slow(*args, **kwargs):
        within.set()
        may_end.wait(20)
        return inner(*args, **kwargs)

    made.step = slow
    if planned:
        tracache.attach(model, PlannedConfig(4), scheduler=made)
    else:
        turns.watch_over(made, turns.Turns())
    one = threading.Thread(target=next, args=(steps_of(model, made),))
    other = threading.Thread(target=made.set_timesteps, args=(12,))
    one.start()
    assert within.wait(20)
    other.start()
    other.join(0.2)
    waits = other.is_alive()
    may_end.set()
    one.join()
    other.join()
    assert waits
    assert made.step_index is None


def steps_of(model, made, seed=4, steps=12):
    """Go through a run; what is done after each step is sent in."""
    made.set_timesteps(steps)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    inputs = conditions(model)
    for t in made.timesteps:
        with torch.no_grad():
            noise = model(latents, timestep=t[None].expand(2), **inputs).sample
            latents = made.step(noise, t, latents).prev_sample
        yield latents


def test_a_run_within_anothers_is_refused():
    """On the same denoiser, with a scheduler of its own, in the first one's callback."""
    model, ours, others = pixart(), scheduler("ddim"), scheduler("ddim")
    with_plan = tracache.attach(model, PlannedConfig(4), scheduler=ours)
    alone = list(steps_of(model, ours))[-1]
    outer = steps_of(model, ours)
    for _ in range(3):
        next(outer)
    with pytest.raises(RuntimeError, match="timesteps of another scheduler"):
        next(steps_of(model, others, seed=5))
    # The run itself goes on, as if nothing had been.
    assert torch.equal(list(outer)[-1], alone)
    with_plan.detach()


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("made", [sd15, flux, sd3, z_image, lumina, flux_twice])
def test_a_pipeline_within_anothers_callback_is_refused(made, config, after, read, monkeypatch):
    """Whatever units the denoiser is handed the time in; told at the end where it is not read."""
    monkeypatch.setattr(turns, "_on_host", lambda time: read)
    pipe, given, size = made()
    given = {**given, "height": size, "width": size, "num_inference_steps": 5}
    parts = {**pipe.components, "scheduler": copy.deepcopy(pipe.scheduler)}
    inner = type(pipe)(**parts)
    inner.set_progress_bar_config(disable=True)
    pipe.set_progress_bar_config(disable=True)

    def run(which, **more):
        return which(**given, **more, generator=torch.manual_seed(0), output_type="latent").images

    def within(_, step, timestep, kwargs):
        if step == after:
            run(inner)
        return kwargs

    with tracache.accelerate(pipe, config):
        alone = run(pipe)
        with pytest.raises(RuntimeError, match="timesteps of another scheduler"):
            run(pipe, callback_on_step_end=within)
        assert torch.equal(run(pipe), alone)


@pytest.mark.parametrize("made", [sd15, flux, sd3, z_image, lumina])
def test_without_a_scheduler_a_run_within_anothers_is_one_of_its_own(made):
    """Even where it begins at a time that could continue the other; which then computes anew."""
    pipe, given, size = made()
    inner = type(pipe)(**{**pipe.components, "scheduler": copy.deepcopy(pipe.scheduler)})
    given = {**given, "height": size, "width": size}

    def run(which, steps, **more):
        which.set_progress_bar_config(disable=True)
        draws = torch.manual_seed(0)
        more["num_inference_steps"] = steps
        return which(**given, **more, generator=draws, output_type="latent").images

    def after_two(what):
        def called(_, step, timestep, kwargs):
            if step == 1:
                what()
            return kwargs

        return called

    denoiser = getattr(pipe, "transformer", None) or pipe.unet
    handle = tracache.attach(denoiser, TraCacheConfig(stride=3))
    alone, found = run(inner, 3), []
    mixed = run(pipe, 9, callback_on_step_end=after_two(lambda: found.append(run(inner, 3))))
    assert torch.equal(found[0], alone)
    assert torch.equal(mixed, run(pipe, 9, callback_on_step_end=after_two(handle.reset)))
    handle.detach()


def test_a_second_run_on_the_same_scheduler_ends_the_first():
    model, made = pixart(), scheduler("ddim")
    tracache.attach(model, PlannedConfig(4), scheduler=made)
    outer = steps_of(model, made)
    for _ in range(3):
        next(outer)
    list(steps_of(model, made, seed=5))
    with pytest.raises((RuntimeError, IndexError)):
        list(outer)


@pytest.mark.parametrize("after", range(4))
def test_an_interrupt_while_attaching_leaves_nothing(config, monkeypatch, after):
    model, made = pixart(), scheduler("ddim")
    before = denoise(model, made=made)
    count, hook = [], hooks.hook_module

    def interrupted(*args):
        count.append(1)
        if len(count) > after:
            raise KeyboardInterrupt
        hook(*args)

    for place in (scheduled, tracache.caching.handle):
        monkeypatch.setattr(place, "hook_module", interrupted)
    try:
        tracache.attach(model, config, scheduler=made).detach()
        assert isinstance(config, PlannedConfig)  # which hooks the denoiser alone
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    assert not any(hasattr(module, "_diffusers_hook") for module in model.modules())
    assert {"step", "set_timesteps"}.isdisjoint(vars(made))
    assert torch.equal(denoise(model, made=made), before)
    tracache.attach(model, config, scheduler=made).detach()


def test_compiled_after_attaching_it_is_refused_with_what_to_do(config):
    model, made = pixart(), scheduler("ddim")
    handle = tracache.attach(model, config, scheduler=made)
    expected = denoise(model, made=made)
    model.compile(backend="eager")
    with pytest.raises(RuntimeError, match=r"detach, call its compile\(\)"):
        denoise(model, made=made)
    handle.detach()
    tracache.attach(model, config, scheduler=made)
    assert torch.equal(denoise(model, made=made), expected)
