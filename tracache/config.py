"""The settings of one accelerated run, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

MAX_STRIDE = 50
MAX_ORDER = 5
MAX_WARMUP = 1000

ORDERS = ("dynamic", "fixed")
CRITERIA = ("std",)
RULES = ("lagrange", "taylor", "reuse")


@dataclass(frozen=True)
class TraCacheConfig:
    """How denoising steps are skipped and how the skipped ones are predicted.

    Attributes
    ----------
    stride : int, default 3
        Every ``stride``-th step after the warm-up computes fully (1 … 50). 1 is full compute.
    max_order : int, default 2
        Highest degree of the extrapolating polynomial (0 … 5); 0 is reuse of the last features.
        Degree n needs n + 1 fully computed steps, so the first skips use lower degrees.
    warmup : int, default 1
        How many leading steps compute fully (at least 1). The paper takes 1 for PixArt-α and
        Open-Sora, 2 for DiT-XL/2.
    last_step : bool, default False
        Also compute the last step. The number of steps must then be known: it is read from the
        pipeline's scheduler, or given as ``num_steps`` to :func:`tracache.attach`.
    order : {"dynamic", "fixed"}, default "dynamic"
        ``dynamic`` chooses the degree per block and timestep (Eq. 7); ``fixed`` takes the
        highest degree the history allows.
    local_extrapolation : bool, default False
        Which polynomial the least spread selects. The spread of ``φ_n − φ_{n−1}`` estimates the
        error of ``φ_{n−1}``: ``False`` takes that one, ``True`` takes ``φ_n`` as Eq. 7 is
        written. With ``False`` and ``dynamic``, ``max_order=1`` is therefore reuse.
    criterion : {"std"}, default "std"
        How the spread of ``|φ_n − φ_{n−1}|`` over all elements is measured.
    rule : {"lagrange", "taylor", "reuse"}, default "lagrange"
        How the history becomes a prediction: the interpolating polynomial (Eq. 6), TaylorSeer's
        formula, or the newest point.

    Raises
    ------
    ValueError
        If a field is not allowed; the message names the field, the value and what is allowed.
    """

    stride: int = 3
    max_order: int = 2
    warmup: int = 1
    last_step: bool = False
    order: str = "dynamic"
    local_extrapolation: bool = False
    criterion: str = "std"
    rule: str = "lagrange"

    def __post_init__(self) -> None:
        require_integer("stride", self.stride, 1, MAX_STRIDE)
        require_integer("max_order", self.max_order, 0, MAX_ORDER)
        require_integer("warmup", self.warmup, 1, MAX_WARMUP)
        require_bool("last_step", self.last_step)
        require_choice("order", self.order, ORDERS)
        require_bool("local_extrapolation", self.local_extrapolation)
        require_choice("criterion", self.criterion, CRITERIA)
        require_choice("rule", self.rule, RULES)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)


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


def require_choice(field: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise ValueError listing them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}; got {value!r}")
    return value
