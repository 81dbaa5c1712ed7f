"""Numbers as they come from a browser or a client, as Python means them."""

from __future__ import annotations

from typing import Any


def whole(value: Any) -> Any:
    """Return 3.0 as 3, since JSON knows no integers; anything else unchanged, to be refused.

    A fraction is not rounded: whoever sends 2.5 should hear that it cannot be done.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
