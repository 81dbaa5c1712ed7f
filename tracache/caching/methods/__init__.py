"""Methods: what a cache computes, keeps and answers with; one method per file.

A configuration's class names its method, see :func:`make_method`.
"""

from __future__ import annotations

from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.caching.methods.adacache import AdaCache, AdaCacheConfig
from tracache.caching.methods.base import Method, Stack, Watch
from tracache.caching.methods.delta_dit import DeltaDiT, DeltaDiTConfig
from tracache.caching.methods.fastercache import FasterCache, FasterCacheConfig
from tracache.caching.methods.gates import Gates, GatesConfig
from tracache.caching.methods.pab import PAB, PABConfig
from tracache.caching.methods.teacache import TeaCache, TeaCacheConfig
from tracache.caching.methods.toca import ToCa, ToCaConfig
from tracache.caching.methods.tracache import BlockForecast, ModuleForecast

CacheConfig = (
    TraCacheConfig
    | DeltaDiTConfig
    | PABConfig
    | TeaCacheConfig
    | AdaCacheConfig
    | FasterCacheConfig
    | ToCaConfig
    | GatesConfig
)

_METHODS: dict[type, type[Method]] = {
    DeltaDiTConfig: DeltaDiT,
    PABConfig: PAB,
    TeaCacheConfig: TeaCache,
    AdaCacheConfig: AdaCache,
    FasterCacheConfig: FasterCache,
    ToCaConfig: ToCa,
    GatesConfig: Gates,
}


def check_config(config: Any) -> None:
    """Check that a configuration is one that :func:`make_method` knows.

    Raises
    ------
    TypeError
        If it is of no known class.
    """
    if not isinstance(config, (TraCacheConfig, *_METHODS)):
        known = ", ".join(cls.__name__ for cls in (TraCacheConfig, *_METHODS))
        raise TypeError(f"config must be one of {known}; got {type(config).__name__}")


def make_method(config: CacheConfig, stack: Stack, watch: Watch) -> Method:
    """Return a fresh method for one run of one transformer."""
    if isinstance(config, TraCacheConfig):
        forecast = ModuleForecast if config.granularity == "module" else BlockForecast
        return forecast(config, stack, watch)
    return _METHODS[type(config)](config, stack, watch)
