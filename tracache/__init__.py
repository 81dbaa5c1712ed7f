"""TraCache: training-free acceleration of diffusion transformers."""

from tracache.caching.attach import accelerate, attach
from tracache.caching.config import TraCacheConfig
from tracache.caching.handle import CacheHandle
from tracache.caching.trace import Trace
from tracache.version import __version__

__all__ = ["CacheHandle", "TraCacheConfig", "Trace", "__version__", "accelerate", "attach"]
