"""The caches that can be examined by name: ours, and those that come with diffusers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from diffusers import hooks
from diffusers.hooks import HookRegistry
from diffusers.hooks.hooks import CacheContext, StateManager
from diffusers.utils import logging
from torch import nn

from tracache.caching.attach import attach, make_config
from tracache.caching.config import TraCacheConfig
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.pipeline import PipelineHandle
from tracache.caching.scheduled import ScheduledHandle
from tracache.experiments.doctor.cache import Attach, Cache
from tracache.experiments.doctor.subject import Subject
from tracache.experiments.doctor.watching import reads_of, time_of
from tracache.experiments.peers import cache_dit

#: So large that any change is below it.
_ANY = 1e9

#: How diffusers' caches are told: what their configuration is made of beside what is given.
Settings = dict[str, Any]
#: Says what time it is.
Now = Callable[[], float]
#: Makes a configuration of diffusers' for a denoiser and a number of steps.
Make = Callable[[Any, int, Now], Any]


def ours(name: str, config: MethodConfig) -> Cache:
    """Return one of this library's methods, to be examined."""

    @contextmanager
    def put_on(subject: Subject, steps: int) -> Iterator[None]:
        with ExitStack() as stack:
            if subject.pipe is not None:
                stack.callback(PipelineHandle(subject.pipe, config).detach)
            elif isinstance(config, PlannedConfig):
                parts = subject.denoisers
                stack.callback(ScheduledHandle(parts, subject.scheduler, config).detach)
            else:
                for denoiser in subject.denoisers:
                    handle = attach(denoiser, config, scheduler=subject.scheduler)
                    stack.callback(handle.detach)
            yield

    if not isinstance(config, TraCacheConfig) or config.abscissa not in ("timestep", "step"):
        return Cache(name, put_on, at_scheduler=config.at_scheduler)
    # A dynamic order is the lower of two neighbours, both of which take their points.
    order = max(config.max_order - (config.order == "dynamic"), 0)
    along = "time" if config.abscissa == "timestep" else "step"
    return Cache(name, put_on, order=order, points=config.max_order + 1, along=along)


def of_diffusers(
    name: str,
    make: Make,
    apply: Callable[[nn.Module, Any], None],
    *,
    loose: Make | None = None,
    order: int = 0,
    note: str = "",
) -> Cache:
    """Return a cache of diffusers', to be examined as it is used.

    Parameters
    ----------
    name : str
        In words.
    make : callable
        Returns its configuration.
    apply : callable
        Puts it on a denoiser that has no ``enable_cache``.
    loose : callable, optional
        As ``make``, with the loosest threshold, where it has one.
    order : int, default 0
        That it says it forecasts with.
    note : str, default ""
        What to know of its settings.
    """
    loosest: Attach | None = None if loose is None else partial(_put_on, loose, apply)
    put_on = partial(_put_on, make, apply)
    return Cache(
        name, put_on, order=order, points=order + 1, loose=loosest, reset=_reset, note=note
    )


@contextmanager
def _put_on(
    make: Make, apply: Callable[[nn.Module, Any], None], subject: Subject, steps: int
) -> Iterator[None]:
    denoiser: Any
    with ExitStack() as stack:
        for denoiser in subject.denoisers:
            now = _Now(denoiser)
            stack.callback(now.forget)
            stack.callback(_take_off, denoiser, _hooks_of(denoiser))
            stack.enter_context(_in_some_context(denoiser))
            with _quiet():
                config = make(denoiser, steps, now)
                if hasattr(denoiser, "enable_cache"):
                    denoiser.enable_cache(config)
                else:
                    apply(denoiser, config)
                    _registry(denoiser).invalidate_child_registries_cache()
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what diffusers would say each of the many times that a cache is put on."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _registry(denoiser: nn.Module) -> HookRegistry:
    return HookRegistry.check_if_exists_or_initialize(denoiser)


def _hooks_of(denoiser: nn.Module) -> set[tuple[str, str]]:
    """Return the hooks that are on a denoiser's modules, by path and name."""
    return {
        (path, name)
        for path, module in denoiser.named_modules()
        if hasattr(module, "_diffusers_hook")
        for name in module._diffusers_hook.hooks
    }


def _take_off(denoiser: Any, before: set[tuple[str, str]]) -> None:
    """Take off as a user does; where there is no such way, or it fails half-way, hook by hook."""
    if getattr(denoiser, "is_cache_enabled", False):
        denoiser.disable_cache()
    for path, name in _hooks_of(denoiser) - before:
        denoiser.get_submodule(path)._diffusers_hook.remove_hook(name, recurse=False)


@contextmanager
def _in_some_context(denoiser: nn.Module) -> Iterator[None]:
    """Name calls that no pipeline has named, without which diffusers' hooks refuse to run."""

    def name_it(*_: Any) -> None:
        for module in denoiser.modules():
            registry = getattr(module, "_diffusers_hook", None)
            for hook in registry.hooks.values() if registry else ():
                for manager in vars(hook).values():
                    if isinstance(manager, StateManager) and manager._context is None:
                        manager.set_context(CacheContext("any"))

    hook = denoiser.register_forward_pre_hook(name_it)
    try:
        yield
    finally:
        hook.remove()


def _reset(subject: Subject) -> None:
    for denoiser in subject.denoisers:
        _registry(denoiser).reset_stateful_hooks()


class _Now:
    """The time of the newest call, which some caches ask for, in thousandths."""

    def __init__(self, denoiser: nn.Module) -> None:
        self._reads, self._time = reads_of(denoiser), 1000.0
        self.forget = denoiser.register_forward_pre_hook(self._note, with_kwargs=True).remove

    def _note(self, _: Any, args: tuple, kwargs: dict) -> None:
        self._time = time_of(self._reads.named(args, kwargs).get(self._reads.time))

    def __call__(self) -> float:
        return 1000 * self._time if self._time <= 1 else self._time


def _planned(settings: Settings) -> Cache:
    return ours("TraCache", make_config(**settings))


def _published(settings: Settings) -> Cache:
    return ours("TraCache as published", TraCacheConfig(**settings))


def _taylorseer(settings: Settings) -> Cache:
    def make(denoiser: Any, steps: int, now: Now) -> Any:
        usual: Settings = {"taylor_factors_dtype": denoiser.dtype}
        return hooks.TaylorSeerCacheConfig(**usual | settings)

    name = "diffusers' TaylorSeer" + ", lite" * bool(settings.get("use_lite_mode"))
    order = settings.get("max_order", hooks.TaylorSeerCacheConfig().max_order)
    return of_diffusers(name, make, hooks.apply_taylorseer_cache, order=order)


def _mag(settings: Settings) -> Cache:
    def make(
        denoiser: Any, steps: int, now: Now, threshold: Settings = settings
    ) -> hooks.MagCacheConfig:
        usual: Settings = {"num_inference_steps": steps, "mag_ratios": [1.0] * steps}
        return hooks.MagCacheConfig(**usual | threshold)

    given = "mag_ratios" in settings
    return of_diffusers(
        "diffusers' MagCache",
        make,
        hooks.apply_mag_cache,
        loose=partial(make, threshold=settings | {"threshold": _ANY}),
        note="" if given else "its ratios are not calibrated, but all one: give mag_ratios",
    )


def _first_block(settings: Settings) -> Cache:
    def make(
        denoiser: Any, steps: int, now: Now, threshold: Settings = settings
    ) -> hooks.FirstBlockCacheConfig:
        return hooks.FirstBlockCacheConfig(**threshold)

    loose = partial(make, threshold=settings | {"threshold": _ANY})
    name = "diffusers' FirstBlockCache"
    return of_diffusers(name, make, hooks.apply_first_block_cache, loose=loose)


def _pab(settings: Settings) -> Cache:
    def make(denoiser: Any, steps: int, now: Now) -> hooks.PyramidAttentionBroadcastConfig:
        usual: Settings = {
            "spatial_attention_block_skip_range": 2,
            "current_timestep_callback": now,
        }
        return hooks.PyramidAttentionBroadcastConfig(**usual | settings)

    name = "diffusers' PyramidAttentionBroadcast"
    return of_diffusers(name, make, hooks.apply_pyramid_attention_broadcast)


def _faster(settings: Settings) -> Cache:
    def make(denoiser: Any, steps: int, now: Now) -> hooks.FasterCacheConfig:
        usual: Settings = {"is_guidance_distilled": True, "current_timestep_callback": now}
        return hooks.FasterCacheConfig(**usual | settings)

    note = "as for a distilled model: attentions alone"
    return of_diffusers("diffusers' FasterCache", make, hooks.apply_faster_cache, note=note)


def _cache_dit(settings: Settings) -> Cache:
    if find_spec("cache_dit") is None:
        raise ValueError("cache-dit is not installed: pip install cache-dit")
    config = TraCacheConfig(**settings)
    asked: list[int] = []

    @contextmanager
    def put_on(subject: Subject, steps: int) -> Iterator[None]:
        asked[:] = [steps]
        with ExitStack() as stack:
            for denoiser in subject.denoisers:
                stack.enter_context(cache_dit(denoiser, config, steps))
            yield

    def reset(subject: Subject) -> None:
        library = import_module("cache_dit")
        for denoiser in subject.denoisers:
            library.refresh_context(denoiser, num_inference_steps=asked[0])

    order = config.max_order
    # Its first forecast is short of a point: every one after it is straight.
    return Cache("cache-dit", put_on, order=order, points=order + 2, reset=reset)


def _none(settings: Settings) -> Cache:
    if settings:
        raise ValueError("none takes no settings")
    return Cache("no cache", lambda subject, steps: nullcontext())


#: Fields of the configurations of diffusers', by the cache's name.
_FIELDS = {
    name: [field.name for field in dataclasses.fields(config) if not field.name.startswith("_")]
    for name, config in {
        "taylorseer": hooks.TaylorSeerCacheConfig,
        "taylorseer-lite": hooks.TaylorSeerCacheConfig,
        "mag": hooks.MagCacheConfig,
        "first-block": hooks.FirstBlockCacheConfig,
        "pab": hooks.PyramidAttentionBroadcastConfig,
        "faster": hooks.FasterCacheConfig,
    }.items()
}

#: Name on the command line → what makes it of settings.
CACHES: dict[str, Callable[[Settings], Cache]] = {
    "tracache": _planned,
    "published": _published,
    "taylorseer": _taylorseer,
    "taylorseer-lite": lambda settings: _taylorseer({"use_lite_mode": True} | settings),
    "mag": _mag,
    "first-block": _first_block,
    "pab": _pab,
    "faster": _faster,
    "cache-dit": _cache_dit,
    "none": _none,
}


def find_cache(name: str, settings: Settings | None = None) -> Cache:
    """Return a cache by name.

    Parameters
    ----------
    name : str
        A key of ``CACHES``.
    settings : dict, optional
        What is set of its configuration, by the names of its fields; its defaults elsewhere.

    Raises
    ------
    ValueError
        If there is none, it is not installed, or it does not take the settings.
    """
    if name not in CACHES:
        raise ValueError(f"unknown cache {name!r}; choose from {', '.join(CACHES)}")
    known = _FIELDS.get(name, list(settings or ()))
    unknown = set(settings or ()) - set(known)
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}: it has {', '.join(known)}")
    try:
        return CACHES[name](settings or {})
    except TypeError as error:
        raise ValueError(f"{name} does not take these settings: {error}") from error
