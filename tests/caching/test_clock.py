"""Counting steps, and what is read back from the device while a run goes on."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tracache
from tests.tiny import denoise, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching.clock import RunClock


class CountReads(TorchDispatchMode):
    """Counts how often a tensor's value is read into Python."""

    reads = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.reads += 1
        return function(*args, **(kwargs or {}))


def reads_of_two_runs(**settings):
    model, made = pixart(), scheduler("ddim")
    if settings:
        tracache.attach(model, TraCacheConfig(**settings), scheduler=made, trace="all")
    reads = []
    for _ in range(2):
        with CountReads() as counter:
            denoise(model, made=made, num_steps=12)
        reads.append(counter.reads)
    return reads


def test_features_and_orders_are_never_read_during_a_run():
    """Beyond the loop's own reads there is one per step: a timestep that is on the host anyway.

    The first run's first step proves what of the blocks is read, once: three answers whether
    anything came through, two whether the output is the same.
    """
    plain, cached = reads_of_two_runs(), reads_of_two_runs(stride=3, max_order=3)
    assert [with_cache - without for with_cache, without in zip(cached, plain, strict=True)] == [
        12 + 5,
        12,
    ]


def test_timesteps_on_a_device_are_read_once_per_run():
    """A tensor without a value stands for one on an accelerator: reading it would raise."""
    made = scheduler("ddim")
    made.set_timesteps(5)
    clock, latents = RunClock(made), torch.zeros(1)
    away = torch.zeros(2, device="meta")
    assert clock.tick(latents, made.timesteps[:1])
    for step in range(1, 5):
        assert not clock.tick(latents, away)
        assert (clock.step, clock.timestep) == (step, float(made.timesteps[step]))
    assert clock.num_steps == 5
    made.set_timesteps(5)
    assert clock.tick(latents, made.timesteps[:1])
    assert clock.step == 0


def test_a_timestep_that_does_not_fall_starts_a_run():
    clock, latents = RunClock(), torch.zeros(1)
    starts = [clock.tick(latents, t) for t in (900, 500.5, 499, 499, 10, 900)]
    assert starts == [True, False, False, True, False, True]
    clock.broken = True
    assert clock.tick(latents, 5)
    assert clock.tick(torch.zeros(2), 4)
