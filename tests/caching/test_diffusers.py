"""Living with the rest of diffusers: contexts, compiled blocks, offload, LoRA, threads, formats."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from accelerate import cpu_offload_with_hook
from diffusers.hooks.hooks import CacheContext, _set_cache_context
from peft import LoraConfig, inject_adapter_in_model

import tracache
from tests.grids import pairwise
from tests.tiny import conditions, denoise, dit, pixart, scheduler
from tracache import TraCacheConfig
from tracache.caching.methods import PABConfig, TeaCacheConfig
from tracache.caching.rules.trajectory import Trajectory, choose_order, weighted_sum

MODELS = {"pixart": pixart, "dit": dit}
CONFIGS = {
    "block": TraCacheConfig(stride=3, max_order=2),
    "module": TraCacheConfig(stride=3, max_order=2, granularity="module"),
    "pab": PABConfig(),
    "teacache": TeaCacheConfig(threshold=0.5),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


# Two forwards per step


def halves(model, batch=2):
    """Two sets of conditions, as the conditional and unconditional forward have them."""
    first = conditions(model, 2 * batch)
    return [{k: v[i * batch : (i + 1) * batch] for k, v in first.items()} for i in range(2)]


@torch.no_grad()
def denoise_twice(model, enter, num_steps=12, made=None):
    """A loop with two forwards per step, each inside ``enter(name)``."""
    made = made or scheduler("ddim")
    made.set_timesteps(num_steps)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    inputs = dict(zip(("cond", "uncond"), halves(model), strict=True))
    for t in made.timesteps:
        out = {}
        for name, given in inputs.items():
            with enter(name):
                out[name] = model(latents, timestep=t[None].expand(2), **given).sample
        guided = out["uncond"] + 2.0 * (out["cond"] - out["uncond"])
        latents = made.step(guided, t, latents).prev_sample
    return latents


class EnterContext:
    """diffusers' own way of naming a forward, as CacheMixin.cache_context does it."""

    def __init__(self, model, name):
        self.model, self.name = model, name

    def __enter__(self):
        _set_cache_context(self.model, CacheContext(name=self.name))

    def __exit__(self, *_):
        _set_cache_context(self.model, None)


@torch.no_grad()
def denoise_with_two_models(first, second, num_steps=12):
    """The same, each forward by a transformer and cache of its own: what contexts must equal."""
    made = scheduler("ddim")
    made.set_timesteps(num_steps)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    inputs = halves(first)
    for t in made.timesteps:
        cond, uncond = (
            model(latents, timestep=t[None].expand(2), **given).sample
            for model, given in zip((first, second), inputs, strict=True)
        )
        latents = made.step(uncond + 2.0 * (cond - uncond), t, latents).prev_sample
    return latents


@pytest.mark.parametrize(
    "config, kind, how",
    pairwise(tuple(CONFIGS), tuple(MODELS), ("ours", "diffusers")),
    indirect=["config"],
)
def test_contexts_keep_two_forwards_per_step_apart(config, kind, how):
    make = MODELS[kind]
    pair = make(), make()
    for transformer in pair:
        tracache.attach(transformer, config)
    expected = denoise_with_two_models(*pair)
    model = make()
    handle = tracache.attach(model, config)
    enter = handle.context if how == "ours" else (lambda name: EnterContext(model, name))
    assert torch.equal(denoise_twice(model, enter), expected)
    # A second run starts both afresh.
    assert torch.equal(denoise_twice(model, enter), expected)
    assert set(handle.traces) == {None, "cond", "uncond"}
    assert len(handle.trace) == len(handle.traces["uncond"]) == 12
    assert not handle.trace.computed.all()


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_two_forwards_that_nobody_names_have_a_history_each(model, told):
    """Their conditions are two halves of one tensor."""
    config, made = TraCacheConfig(stride=3, max_order=2), scheduler("ddim")
    make = MODELS["pixart" if type(model).__name__.startswith("Pix") else "dit"]
    pair = make(), make()
    for transformer in pair:
        tracache.attach(transformer, config)
    expected = denoise_with_two_models(*pair)
    handle = tracache.attach(model, config, scheduler=made if told else None)
    for _ in range(2):
        found = denoise_twice(model, lambda name: nullcontext(), made=made)
        assert torch.equal(found, expected)
        assert {name: len(trace) for name, trace in handle.traces.items()} == {
            None: 12,
            "call 2": 12,
        }


def test_one_forward_twice_per_step_is_refused(model):
    """Two trajectories taken for one would give a mixed-up image."""
    alone = denoise(model)
    handle = tracache.attach(model, TraCacheConfig(stride=3))
    skipped = denoise(model)
    given, times = conditions(model), torch.tensor([900, 900, 800, 800])[:, None].expand(4, 2)
    for t in times[:3]:
        model(torch.zeros(2, 4, 8, 8), timestep=t, **given)
    with pytest.raises(RuntimeError, match=r"twice at the same timestep.*handle\.context"):
        model(torch.zeros(2, 4, 8, 8), timestep=times[3], **given)
    assert torch.equal(denoise(model), skipped)
    handle.detach()
    assert torch.equal(denoise(model), alone)


# Compiled


@pytest.mark.parametrize(
    "config",
    ["block", *(pytest.param(c, marks=pytest.mark.slow) for c in CONFIGS if c != "block")],
    indirect=True,
)
def test_compiled_blocks_give_the_same(model, config):
    expected_full = denoise(model)
    handle = tracache.attach(model, config)
    expected = denoise(model)
    handle.detach()
    torch._dynamo.reset()
    for block in model.transformer_blocks:
        block.compile(backend="eager", fullgraph=True)
    compiled = [block._compiled_call_impl for block in model.transformer_blocks]
    handle = tracache.attach(model, config)
    assert torch.allclose(denoise(model), expected, atol=1e-5)
    assert torch.allclose(denoise(model), expected, atol=1e-5)
    handle.detach()
    assert [block._compiled_call_impl for block in model.transformer_blocks] == compiled
    assert torch.allclose(denoise(model), expected_full, atol=1e-5)


def test_the_maths_compile_as_one_graph():
    torch._dynamo.reset()
    trajectory = Trajectory(2)
    for t in (900.0, 800.0, 700.0):
        trajectory.observe(t, torch.randn(2, 8, 4))
    factors = trajectory.factors(650.0)

    def predict(differences, spreads):
        order = choose_order(spreads, factors, False)
        return weighted_sum(differences, factors, order)

    compiled = torch.compile(predict, fullgraph=True, backend="aot_eager")
    arguments = trajectory.differences, trajectory.spreads
    assert torch.allclose(compiled(*arguments), predict(*arguments))

    def observe(older, features):
        fresh = Trajectory(1)
        fresh.points, fresh.differences = (900.0,), (older,)
        fresh.observe(800.0, features)
        return fresh.differences[1], fresh.spreads[0]

    values = torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    compiled = torch.compile(observe, fullgraph=True, backend="aot_eager")
    for a, b in zip(compiled(*values), observe(*values), strict=True):
        assert torch.allclose(a, b)


# Offload, formats, adapters


def test_offload_goes_on_under_the_cache(model, config):
    """What ``enable_model_cpu_offload`` puts on a transformer stays where it is."""
    handle = tracache.attach(model, config)
    expected = denoise(model)
    handle.detach()
    _, hook = cpu_offload_with_hook(model, execution_device="cpu")
    offloading = model.forward
    handle = tracache.attach(model, config)
    assert torch.equal(denoise(model), expected)
    hook.offload()
    assert torch.equal(denoise(model), expected)
    handle.detach()
    assert model.forward is offloading
    hook.remove()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(model, config, dtype):
    model = model.to(dtype)
    full = denoise(model)
    handle = tracache.attach(model, config)
    latents = denoise(model)
    assert latents.dtype == dtype
    assert torch.isfinite(latents).all()
    assert not torch.equal(latents, full)
    assert torch.equal(denoise(model), latents)
    # The differences, where digits cancel, stay in float32.
    for trajectory in getattr(handle._run.method, "trajectories", []):
        assert {d.dtype for d in trajectory.differences[1:]} == {torch.float32}


def test_lora(model, config):
    """An adapter changes the image, its cache is full compute's at stride 1, detaching restores."""
    plain = denoise(model)
    adapter = LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    inject_adapter_in_model(adapter, model)
    adapted = denoise(model)
    assert not torch.equal(adapted, plain)
    handle = tracache.attach(model, TraCacheConfig(stride=1))
    assert torch.equal(denoise(model), adapted)
    handle.detach()
    handle = tracache.attach(model, config)
    skipped = denoise(model)
    assert not torch.equal(skipped, adapted)
    assert torch.equal(denoise(model), skipped)
    handle.detach()
    assert torch.equal(denoise(model), adapted)


# Batches


@pytest.mark.parametrize("granularity", ["block", "module"])
def test_per_sample_orders_do_not_depend_on_batch_mates(model, granularity):
    config = TraCacheConfig(stride=2, max_order=3, spread="per_sample", granularity=granularity)
    handle = tracache.attach(model, config, trace="all")
    together = denoise_items(model, [0, 1, 2])
    orders = handle.trace.sample_orders
    assert orders.shape[2] == 3
    assert any((orders[..., 0] != orders[..., i]).any() for i in (1, 2))
    for item in range(3):
        alone = denoise_items(model, [item])
        assert (together[item] - alone[0]).norm() < 1e-4 * alone[0].norm()
        assert np.array_equal(handle.trace.sample_orders[..., 0], orders[..., item])


@torch.no_grad()
def denoise_items(model, items, num_steps=20):
    made = scheduler("dpm")
    made.set_timesteps(num_steps)
    seeds = [torch.Generator().manual_seed(50 + i) for i in items]
    latents = torch.stack([torch.randn(4, 8, 8, generator=g) for g in seeds])
    inputs = {k: v[items] for k, v in conditions(model, 3).items()}
    for t in made.timesteps:
        noise = model(latents, timestep=t[None].expand(len(items)), **inputs).sample
        latents = made.step(noise, t, latents).prev_sample
    return latents


# Processes and threads


def test_several_transformers_in_one_process(config):
    """Caches share nothing: interleaved runs equal lone ones."""
    models = [pixart(), pixart(6), dit()]
    alone = []
    for model in models:
        handle = tracache.attach(model, config)
        alone.append(denoise(model))
        handle.detach()
    for model in models:
        tracache.attach(model, config)
    results = {}

    def work(index):
        results[index] = denoise(models[index])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        assert torch.allclose(results[index], expected, atol=1e-5)


def test_two_threads_on_one_transformer_get_an_error(model):
    """Step by step in turn, the likeliest way to mix two images up."""
    tracache.attach(model, TraCacheConfig(stride=3))
    alone = denoise(model)
    turns = threading.Barrier(2, timeout=20)
    outcomes = {}

    class InTurn:
        """A scheduler that waits for the other thread after every step."""

        def __init__(self):
            self.inner = scheduler("ddim")

        def set_timesteps(self, n):
            self.inner.set_timesteps(n)
            self.timesteps = self.inner.timesteps

        def step(self, *args):
            turns.wait()
            return self.inner.step(*args)

    def work(name, delay):
        try:
            if delay:
                turns.wait()
            outcomes[name] = denoise(model, made=InTurn())
        except threading.BrokenBarrierError:
            outcomes[name] = None
        except RuntimeError as error:
            outcomes[name] = error
            turns.abort()

    threads = [threading.Thread(target=work, args=(i, i == 1)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [o for o in outcomes.values() if isinstance(o, RuntimeError)]
    assert len(errors) == 1
    assert "two threads" in str(errors[0])
    assert torch.allclose(denoise(model), alone, atol=1e-5)


def test_a_run_may_move_from_thread_to_thread(model):
    """Generators do, and it is one run at a time."""
    made = scheduler("ddim")
    handle = tracache.attach(model, TraCacheConfig(stride=3), scheduler=made)
    expected = denoise(model, made=made)
    made.set_timesteps(12)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    inputs = conditions(model)

    def step(t):
        nonlocal latents
        with torch.no_grad():
            noise = model(latents, timestep=t[None].expand(2), **inputs).sample
            latents = made.step(noise, t, latents).prev_sample

    for t in made.timesteps:
        thread = threading.Thread(target=step, args=(t,))
        thread.start()
        thread.join()
    assert torch.allclose(latents, expected, atol=1e-5)
    assert handle.trace.computed.sum() == 4


def test_an_abandoned_run_does_not_stop_another_thread(model):
    tracache.attach(model, TraCacheConfig(stride=3))
    expected = denoise(model)
    with pytest.raises(InterruptedError):
        denoise(model, stop=4)
    results = []
    thread = threading.Thread(target=lambda: results.append(denoise(model)))
    thread.start()
    thread.join()
    assert torch.allclose(results[0], expected, atol=1e-5)
    assert torch.equal(denoise(model), expected)
