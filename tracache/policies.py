"""The old name of :mod:`tracache.methods`; works until 0.3."""

import warnings

from tracache.methods import *  # noqa: F403

warnings.warn(
    "tracache.policies is now tracache.methods, and goes in 0.3; import from there",
    DeprecationWarning,
    stacklevel=2,
)
