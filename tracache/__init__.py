"""TraCache: training-free acceleration of diffusion transformers."""

from tracache.cache import CacheHandle, accelerate, attach
from tracache.config import TraCacheConfig
from tracache.trace import Trace
from tracache.version import __version__

__all__ = ["CacheHandle", "TraCacheConfig", "Trace", "__version__", "accelerate", "attach"]
