"""Other libraries' caches, put on the same transformer, to be timed beside ours.

They are timed and nothing else: of what they predict the project's own arms, on one schedule,
tell more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any

from diffusers.hooks import HookRegistry, TaylorSeerCacheConfig, apply_taylorseer_cache
from diffusers.hooks.hooks import CacheContext, _set_cache_context

from tracache.caching.config import TraCacheConfig
from tracache.caching.layouts import find_layout

#: Puts a cache on a transformer for one run of so many steps.
Peer = Callable[[Any, TraCacheConfig, int], AbstractContextManager[None]]


@contextmanager
def diffusers_taylorseer(transformer: Any, config: TraCacheConfig, steps: int) -> Iterator[None]:
    """Use diffusers' TaylorSeer on whole blocks, factors in the transformer's own format.

    Its schedule is shifted by a step: after ``warmup`` full steps and one more, every stride-th.
    """
    (name,) = find_layout(transformer).blocks
    settings = TaylorSeerCacheConfig(
        cache_interval=int(config.stride),
        disable_cache_before_step=config.warmup,
        max_order=config.max_order,
        taylor_factors_dtype=transformer.dtype,
        cache_identifiers=[rf"{name}\.\d+"],
    )
    apply_taylorseer_cache(transformer, settings)
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry.invalidate_child_registries_cache()
    _set_cache_context(transformer, CacheContext("both halves"))
    try:
        yield
    finally:
        _set_cache_context(transformer, None)
        registry.remove_hook("taylorseer_cache", recurse=True)


@contextmanager
def cache_dit(transformer: Any, config: TraCacheConfig, steps: int) -> Iterator[None]:
    """Use cache-dit with TaylorSeer and our schedule; its first block always computes."""
    import cache_dit as library

    (name,) = find_layout(transformer).blocks
    stack = getattr(transformer, name)
    full = set(config.plan_steps(steps) or ())
    pattern = library.ForwardPattern.Pattern_3
    adapter = library.BlockAdapter(transformer=transformer, blocks=stack, forward_pattern=pattern)
    settings = library.DBCacheConfig(
        Fn_compute_blocks=1,
        Bn_compute_blocks=0,
        max_warmup_steps=1,
        num_inference_steps=steps,
        steps_computation_policy="static",
        steps_computation_mask=[int(i in full) for i in range(steps)],
    )
    order = library.TaylorSeerCalibratorConfig(taylorseer_order=config.max_order)
    library.enable_cache(adapter, cache_config=settings, calibrator_config=order)
    library.refresh_context(transformer, num_inference_steps=steps)
    try:
        yield
    finally:
        library.disable_cache(transformer)


PEERS: dict[str, Peer] = {"diffusers-taylorseer": diffusers_taylorseer, "cache-dit": cache_dit}

#: What has to be installed for a peer beside what the project needs.
PACKAGES = {"cache-dit": "cache_dit"}

#: Peer → task → why it does not run there.
REFUSES = {
    "cache-dit": {
        "class-to-image": "it takes the blocks out of their list, where DiT's output head reads one"
    }
}


def require_peer(name: str, task: str) -> Peer:
    """Return a peer by name, for models of a task.

    Raises
    ------
    ValueError
        If there is none, it is not installed, or it does not run on such models.
    """
    if name not in PEERS:
        raise ValueError(f"unknown peer {name!r}; choose from {', '.join(PEERS)}")
    if reason := REFUSES.get(name, {}).get(task):
        raise ValueError(f"the peer {name} does not run on {task} models: {reason}")
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise ValueError(f"the peer {name} is not installed: pip install {name}")
    return PEERS[name]
