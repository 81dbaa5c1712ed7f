"""TraCache: training-free acceleration of diffusion transformers."""

from tracache.caching.attach import CacheHandle, accelerate, attach
from tracache.caching.config import TraCacheConfig
from tracache.caching.trace import Trace
from tracache.version import __version__

__all__ = ["CacheHandle", "TraCacheConfig", "Trace", "__version__", "accelerate", "attach"]
