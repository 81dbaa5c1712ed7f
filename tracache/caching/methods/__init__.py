"""Methods: what a cache computes, keeps and answers with; one method per file.

A configuration's class names its method, see :func:`make_method`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracache.caching.config import MODULES, TraCacheConfig
from tracache.caching.method_config import MethodConfig
from tracache.caching.methods.adacache import AdaCache, AdaCacheConfig
from tracache.caching.methods.base import Method, Stack, Watch
from tracache.caching.methods.delta_dit import DeltaDiT, DeltaDiTConfig
from tracache.caching.methods.discovered import LiveForecast
from tracache.caching.methods.easycache import EasyCache, EasyCacheConfig
from tracache.caching.methods.fastercache import FasterCache, FasterCacheConfig
from tracache.caching.methods.first_block import FirstBlock, FirstBlockConfig
from tracache.caching.methods.gates import Gates, GatesConfig
from tracache.caching.methods.magcache import MagCache, MagCacheConfig
from tracache.caching.methods.pab import PAB, PABConfig
from tracache.caching.methods.seacache import SeaCache, SeaCacheConfig
from tracache.caching.methods.speca import SpeCa, SpeCaConfig
from tracache.caching.methods.teacache import TeaCache, TeaCacheConfig
from tracache.caching.methods.toca import ToCa, ToCaConfig
from tracache.caching.methods.tracache import ModuleForecast


def _forecast(config: TraCacheConfig, stack: Stack, watch: Watch) -> Method:
    kind = ModuleForecast if config.space == MODULES else LiveForecast
    return kind(config, stack, watch)


#: What makes a run's decisions, by the class of the configuration.
_METHODS: dict[type[MethodConfig], Callable[..., Method]] = {
    TraCacheConfig: _forecast,
    DeltaDiTConfig: DeltaDiT,
    PABConfig: PAB,
    TeaCacheConfig: TeaCache,
    FirstBlockConfig: FirstBlock,
    MagCacheConfig: MagCache,
    EasyCacheConfig: EasyCache,
    SeaCacheConfig: SeaCache,
    SpeCaConfig: SpeCa,
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
    if not isinstance(config, tuple(_METHODS)):
        known = ", ".join(cls.__name__ for cls in _METHODS)
        raise TypeError(f"config must be one of {known}; got {type(config).__name__}")


def make_method(config: MethodConfig, stack: Stack, watch: Watch) -> Method:
    """Return a fresh method for one run of one denoiser."""
    # A subclass of a configuration is made by the same method.
    make = next(_METHODS[cls] for cls in type(config).__mro__ if cls in _METHODS)
    return make(config, stack, watch)
