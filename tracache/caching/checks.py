"""Checks of single values, each with a message that names the setting and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def require_integer(field: str, value: Any, low: int, high: int) -> int:
    """Return ``value`` if it is a whole number in ``[low, high]``.

    Raises
    ------
    ValueError
        Naming the field, the value and the range. Booleans, fractions, NaN and infinities are
        refused; 3.0 is refused too, since a silent conversion would hide a mistake.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{field} must be a whole number from {low} to {high}, got {value!r}")
    return value


def require_number(field: str, value: Any, low: float, high: float) -> float:
    """Return ``value`` as a float if it is finite and in ``[low, high]``.

    Raises
    ------
    ValueError
        Naming the field, the value and the range.
    """
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{field} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def require_bool(field: str, value: Any) -> bool:
    """Return ``value`` if it is True or False, else raise ValueError naming the field."""
    if not isinstance(value, bool):
        raise ValueError(f"{field} must be True or False, got {value!r}")
    return value


def require_choice(field: str, value: Any, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise ValueError listing them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}; got {value!r}")
    return value


def require_no_wrapper(denoiser: Any) -> None:
    """Raise TypeError for what ``torch.compile(denoiser)`` returns."""
    if hasattr(denoiser, "_orig_mod"):
        raise TypeError(
            "torch.compile(denoiser) wraps a denoiser in a graph in which no step can be skipped: "
            "compile it in place instead, denoiser.compile(…), or its blocks, and attach then"
        )
