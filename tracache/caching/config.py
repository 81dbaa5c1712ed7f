"""The settings of one accelerated run, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tracache.caching.steps import computed_steps

MAX_STRIDE = 50
MAX_ORDER = 5
MAX_WARMUP = 1000
MAX_STEPS = 1000
MAX_WINDOW = 10

ORDERS = ("dynamic", "fixed")
CRITERIA = ("std", "mean", "power")
SPREADS = ("batch", "per_image", "per_sample")
GRANULARITIES = ("block", "module")
ABSCISSAE = ("timestep", "step", "log-snr", "sigma")
RULES = ("lagrange", "taylor", "hermite", "learned", "reuse")


@dataclass(frozen=True)
class TraCacheConfig:
    """How denoising steps are skipped and how the skipped ones are predicted.

    Attributes
    ----------
    stride : int or "auto", default 3
        Every ``stride``-th step after the warm-up computes fully (1 … 50). 1 is full compute.
        ``"auto"`` computes a step where its predicted error passes ``tolerance``; it needs the
        scheduler, which :func:`tracache.accelerate` takes from the pipeline.
    max_order : int, default 2
        Highest degree of the extrapolating polynomial (0 … 5); 0 is reuse of the last features.
        Degree n needs n + 1 fully computed steps, so the first skips use lower degrees.
    warmup : int, default 1
        How many leading steps compute fully (at least 1). The paper takes 1 for PixArt-α and
        Open-Sora, 2 for DiT-XL/2.
    last_step : bool, default False
        Also compute the last step. The number of steps must then be known: it is read from the
        pipeline's scheduler, or given as ``num_steps`` to :func:`tracache.attach`. With
        ``stride="auto"`` it is the last two steps.
    order : {"dynamic", "fixed"}, default "dynamic"
        ``dynamic`` chooses the degree per block and timestep (Eq. 7); ``fixed`` takes the
        highest degree the history allows.
    local_extrapolation : bool, default False
        Which polynomial the least spread selects. The spread of ``φ_n − φ_{n−1}`` estimates the
        error of ``φ_{n−1}``: ``False`` takes that one, ``True`` takes ``φ_n`` as Eq. 7 is
        written. With ``False`` and ``dynamic``, ``max_order=1`` is therefore reuse.
    criterion : {"std", "mean", "power"}, default "std"
        How ``|φ_n − φ_{n−1}|`` is judged over all elements (Eq. 7 and D.1.4); ``power`` lets the
        order follow the timestep instead, see ``exponent``.
    exponent : float, default 0.5
        For ``criterion="power"``: the order is ``round(max_order · (t / t_0)^p)``, which falls as
        the noise goes; a negative value rises instead, ``round(max_order · (1 − (t / t_0)^|p|))``.
        0.2 … 1 in size.
    window : int, default 1
        Average each spread over this many of the last computed steps (1 … 10); 1 is no window.
    spread : {"batch", "per_image", "per_sample"}, default "batch"
        Over what the spread is taken: the whole batch, as in the paper; each image alone, its two
        halves under guidance together; or each item of the batch alone. With the last two an
        image does not depend on those it is made together with. For one image the first two are
        the same. The last was measured to be farther from full compute: guidance magnifies the
        difference of its halves, so they had better err alike.
    granularity : {"block", "module"}, default "block"
        What has a trajectory (Table 7): a block's output, or the output of each attention and
        MLP, between which norms, gates and residual additions still run.
    rule : {"lagrange", "taylor", "hermite", "learned", "reuse"}, default "lagrange"
        How the history becomes a prediction: the interpolating polynomial (Eq. 6), TaylorSeer's
        formula, HiCache's, ``weights`` fitted beforehand, or the newest point.
    weights : tuple of tuple of float, default ()
        For ``rule="learned"``: one row per step of the run, ``(c_0, c_1, …)`` of
        ``Σ c_n · D_n``; see :mod:`tracache.caching.fit`.
    abscissa : {"timestep", "step", "log-snr", "sigma"}, default "timestep"
        Along what is extrapolated. The last two need the scheduler.
    full_steps : tuple of int or None, default None
        Exactly these steps compute, in place of ``stride``, ``warmup`` and ``last_step``; must
        begin with 0.
    tolerance : float, default 0.02
        For ``stride="auto"``: how far the steps skipped in a row may move the final latents,
        relative to their size, by the estimate of the least spread of ``φ_n − φ_{n−1}``.
    max_skips : int, default 6
        For ``stride="auto"``: compute after this many skips in a row (1 … 50).

    Raises
    ------
    ValueError
        If a field is not allowed; the message names the field, the value and what is allowed.
    """

    stride: int | str = 3
    max_order: int = 2
    warmup: int = 1
    last_step: bool = False
    order: str = "dynamic"
    local_extrapolation: bool = False
    criterion: str = "std"
    exponent: float = 0.5
    window: int = 1
    spread: str = "batch"
    granularity: str = "block"
    rule: str = "lagrange"
    weights: tuple[tuple[float, ...], ...] = ()
    abscissa: str = "timestep"
    full_steps: tuple[int, ...] | None = None
    tolerance: float = 0.02
    max_skips: int = 6

    def __post_init__(self) -> None:
        if self.stride != "auto":
            if isinstance(self.stride, str):
                raise ValueError(f"stride must be a whole number or 'auto', got {self.stride!r}")
            require_integer("stride", self.stride, 1, MAX_STRIDE)
        require_integer("max_order", self.max_order, 0, MAX_ORDER)
        require_integer("warmup", self.warmup, 1, MAX_WARMUP)
        require_bool("last_step", self.last_step)
        require_choice("order", self.order, ORDERS)
        require_bool("local_extrapolation", self.local_extrapolation)
        require_choice("criterion", self.criterion, CRITERIA)
        require_number("exponent", self.exponent, -1.0, 1.0)
        if abs(self.exponent) < 0.2:
            raise ValueError(f"exponent must be 0.2 to 1 in size, got {self.exponent!r}")
        require_integer("window", self.window, 1, MAX_WINDOW)
        require_choice("spread", self.spread, SPREADS)
        require_choice("granularity", self.granularity, GRANULARITIES)
        require_choice("rule", self.rule, RULES)
        require_choice("abscissa", self.abscissa, ABSCISSAE)
        require_number("tolerance", self.tolerance, 0.0, 100.0)
        require_integer("max_skips", self.max_skips, 1, MAX_STRIDE)
        # JSON has lists where a frozen, comparable setting needs tuples.
        object.__setattr__(self, "weights", tuple(map(tuple, self.weights)))
        if (self.rule == "learned") != bool(self.weights):
            raise ValueError("rule='learned' and weights go together: give both or neither")
        if self.full_steps is not None:
            steps = tuple(self.full_steps)
            for step in steps:
                require_integer("full_steps", step, 0, MAX_STEPS)
            if not steps or steps[0] != 0 or list(steps) != sorted(set(steps)):
                raise ValueError(f"full_steps must begin with 0 and rise, got {steps!r}")
            object.__setattr__(self, "full_steps", steps)
        if self.adaptive and self.max_order == 0:
            raise ValueError("stride='auto' estimates errors by differences: max_order must be ≥ 1")
        if self.adaptive and (self.criterion == "power" or self.rule == "learned"):
            raise ValueError("stride='auto' needs the spreads that std and mean measure")

    @property
    def adaptive(self) -> bool:
        """Whether the features decide which steps compute."""
        return self.stride == "auto" and self.full_steps is None

    @property
    def chooses(self) -> bool:
        """Whether every block, or module, chooses its order by its own history."""
        by_history = self.order == "dynamic" and self.criterion != "power"
        return by_history and self.max_order > 0 and self.rule not in ("learned", "reuse")

    @property
    def needs_num_steps(self) -> bool:
        """Whether the number of steps must be known beforehand."""
        return self.last_step and self.full_steps is None

    def plan_steps(self, num_steps: int) -> tuple[int, ...] | None:
        """Return the steps that will compute, or None where the features decide."""
        if self.adaptive:
            return None
        stride = self.stride if isinstance(self.stride, int) else 1
        return computed_steps(num_steps, stride, self.warmup, self.last_step, self.full_steps)

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
