"""Small pieces of sentences."""

from __future__ import annotations

from collections.abc import Sequence


def join(parts: Sequence[str]) -> str:
    """Return several things as one: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
