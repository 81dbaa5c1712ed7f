"""Policies: what a cache computes, keeps and answers with; one method per file.

A configuration's class names its policy, see :func:`make_policy`.
"""

from __future__ import annotations

from typing import Any

from tracache.config import TraCacheConfig
from tracache.policies.adacache import AdaCache, AdaCacheConfig
from tracache.policies.base import Policy, Stack, Watch
from tracache.policies.delta_dit import DeltaDiT, DeltaDiTConfig
from tracache.policies.fastercache import FasterCache, FasterCacheConfig
from tracache.policies.forecast import BlockForecast, ModuleForecast
from tracache.policies.gates import Gates, GatesConfig
from tracache.policies.pab import PAB, PABConfig
from tracache.policies.teacache import TeaCache, TeaCacheConfig
from tracache.policies.toca import ToCa, ToCaConfig

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

_POLICIES: dict[type, type[Policy]] = {
    DeltaDiTConfig: DeltaDiT,
    PABConfig: PAB,
    TeaCacheConfig: TeaCache,
    AdaCacheConfig: AdaCache,
    FasterCacheConfig: FasterCache,
    ToCaConfig: ToCa,
    GatesConfig: Gates,
}


def check_config(config: Any) -> None:
    """Check that a configuration is one that :func:`make_policy` knows.

    Raises
    ------
    TypeError
        If it is of no known class.
    """
    if not isinstance(config, (TraCacheConfig, *_POLICIES)):
        known = ", ".join(cls.__name__ for cls in (TraCacheConfig, *_POLICIES))
        raise TypeError(f"config must be one of {known}; got {type(config).__name__}")


def make_policy(config: CacheConfig, stack: Stack, watch: Watch) -> Policy:
    """Return a fresh policy for one run of one transformer."""
    if isinstance(config, TraCacheConfig):
        forecast = ModuleForecast if config.granularity == "module" else BlockForecast
        return forecast(config, stack, watch)
    return _POLICIES[type(config)](config, stack, watch)
