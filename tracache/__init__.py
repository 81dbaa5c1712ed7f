"""TraCache: training-free acceleration of diffusion transformers."""

from tracache.cache import CacheHandle, accelerate, attach
from tracache.config import TraCacheConfig
from tracache.trace import Trace

__version__ = "0.1.0"
__all__ = ["CacheHandle", "TraCacheConfig", "Trace", "__version__", "accelerate", "attach"]
