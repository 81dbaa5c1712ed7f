"""Every method's configuration, in one public place.

>>> from tracache.methods import ToCaConfig
>>> handle = tracache.attach(pipe.transformer, ToCaConfig(ratio=0.8))

The methods themselves, and what each setting means, are in :mod:`tracache.caching.methods`.
"""

from tracache.caching.config import TraCacheConfig
from tracache.caching.methods.adacache import AdaCacheConfig
from tracache.caching.methods.delta_dit import DeltaDiTConfig
from tracache.caching.methods.easycache import EasyCacheConfig
from tracache.caching.methods.fastercache import FasterCacheConfig
from tracache.caching.methods.first_block import FirstBlockConfig
from tracache.caching.methods.gates import GatesConfig
from tracache.caching.methods.learned import LearnedConfig
from tracache.caching.methods.magcache import MagCacheConfig
from tracache.caching.methods.pab import PABConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.methods.seacache import SeaCacheConfig
from tracache.caching.methods.speca import SpeCaConfig
from tracache.caching.methods.teacache import TeaCacheConfig
from tracache.caching.methods.toca import ToCaConfig

__all__ = [
    "AdaCacheConfig",
    "DeltaDiTConfig",
    "EasyCacheConfig",
    "FasterCacheConfig",
    "FirstBlockConfig",
    "GatesConfig",
    "LearnedConfig",
    "MagCacheConfig",
    "PABConfig",
    "PlannedConfig",
    "SeaCacheConfig",
    "SpeCaConfig",
    "TeaCacheConfig",
    "ToCaConfig",
    "TraCacheConfig",
]
