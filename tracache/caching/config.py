"""The settings of one accelerated run, checked when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, replace
from typing import Any, Self

from tracache.caching.declare import PYTHON, setting
from tracache.caching.method_config import (
    MAX_STEPS,
    MAX_STRIDE,
    MethodConfig,
    exactly_these_steps,
)
from tracache.caching.placements import PLACEMENTS
from tracache.caching.rules.registry import BLOCK_RULES, SERIES
from tracache.caching.steps import computed_steps

MAX_ORDER = 5
MAX_WARMUP = 1000
MAX_WINDOW = 10

ORDERS = ("dynamic", "fixed")
CRITERIA = ("std", "mean", "power")
SPREADS = ("batch", "per_image", "per_sample")
#: What of a denoiser may have a trajectory; what a scheduler is handed is for PlannedConfig.
BLOCKS, MODULES = "blocks", "modules"
ABSCISSAE = ("timestep", "step", "log-snr", "sigma")
#: Those that do not need the denoised estimate as it is found.
BLOCK_PLACEMENTS = tuple(name for name, placement in PLACEMENTS.items() if not placement.changes)

#: Groups in which the page shows settings: how many steps compute, when, and how to predict and
#: choose.
BUDGET, SCHEDULE, PREDICTION = "budget", "schedule", "prediction"

_EQUATION_7 = "Off: φₙ₋₁, whose error the least residual estimates."


@dataclass(frozen=True)
class TraCacheConfig(MethodConfig):
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
    space : {"blocks", "modules"}, default "blocks"
        What has a trajectory (Table 7): a block's output, or the output of each attention and
        MLP, between which norms, gates and residual additions still run. For trajectories of the
        denoiser's output, or where the scheduler sees them, there is
        :class:`~tracache.methods.PlannedConfig`.
    rule : str, default "lagrange"
        How the history becomes a prediction, see :mod:`tracache.caching.rules`: ``lagrange``, the
        interpolating polynomial (Eq. 6); ``taylor``, TaylorSeer's formula; ``hermite``, HiCache's;
        ``chebyshev``, Spectrum's fit to all computed steps, which keeps them all; ``dmd``,
        exponentials through six of them; ``foca``, forecast and calibrate; ``learned``, by
        ``weights`` fitted beforehand; ``reuse``, the newest point. Spectrum's, ``dmd`` and
        ``foca`` take ``order="fixed"`` and ``abscissa="step"``.
    weights : tuple of tuple of float, default ()
        For ``rule="learned"``: one row per step of the run, ``(c_0, c_1, …)`` of
        ``Σ c_n · D_n``; see :mod:`tracache.caching.fit`.
    abscissa : {"timestep", "step", "log-snr", "sigma"}, default "timestep"
        Along what is extrapolated. The last two need the scheduler.
    full_steps : tuple of int or None, default None
        Exactly these steps compute, in place of ``compute``, ``stride``, ``warmup`` and
        ``last_step``; must begin with 0.
    compute : int or None, default None
        Exactly so many steps compute, in place of ``stride``, ``warmup`` and ``last_step``; of
        fewer steps all do. The number of steps must then be known, as for ``last_step``.
    placement : str, default "even"
        Of ``compute``: where they are, see :mod:`tracache.caching.placements`. ``even`` is evenly
        spaced, the first and the last among them; ``planned`` needs the scheduler.
    tolerance : float, default 0.02
        For ``stride="auto"``: how far the steps skipped in a row may move the final latents,
        relative to their size, by the estimate of the least spread of ``φ_n − φ_{n−1}``.
    max_skips : int, default 6
        For ``stride="auto"``: compute after this many skips in a row (1 … 50).
    granularity : {"block", "module"}, optional
        What ``space`` was called until 0.2; goes with 0.3.

    Raises
    ------
    ValueError
        If a field is not allowed; the message names the field, the value and what is allowed.
    """

    stride: int | str = setting(
        3,
        low=1,
        high=MAX_STRIDE,
        choices=("auto",),
        label="Stride",
        help="Every so many steps, one computes fully; 1 skips none.",
        group=SCHEDULE,
        shown=(1, 8, 1),
    )
    max_order: int = setting(
        2,
        low=0,
        high=MAX_ORDER,
        label="Max order tried",
        help="Neighbouring orders are compared and the lower one is used: 2 uses orders 0 and 1, "
        "and 1 is reuse, as 0 is. A fixed order is used as it is.",
        group=SCHEDULE,
    )
    warmup: int = setting(
        1, low=1, high=MAX_WARMUP, label="Warm-up", help="Leading steps that always compute."
    )
    last_step: bool = setting(False, label="Compute the last step", group=SCHEDULE)
    order: str = setting(
        "dynamic",
        choices=ORDERS,
        label="Order",
        help="Chosen per block and step, or the highest that the history allows.",
    )
    local_extrapolation: bool = setting(
        False, label="Take φₙ, as Eq. 7 is written", help=_EQUATION_7, group=PREDICTION
    )
    criterion: str = setting(
        "std",
        choices=CRITERIA,
        label="Criterion",
        help="How |φₙ − φₙ₋₁| is judged; power lets the order follow the timestep.",
        group=PREDICTION,
    )
    exponent: float = setting(
        0.5,
        low=-1,
        high=1,
        label="Exponent",
        help="Of power: the order falls with t^p, or rises where p is negative.",
        group=PREDICTION,
        shown=(-1, 1, 0.1),
        only=("criterion", "power"),
    )
    window: int = setting(
        1,
        low=1,
        high=MAX_WINDOW,
        label="Window",
        help="Average the spread over so many computed steps.",
        group=PREDICTION,
        shown=(1, 5, 1),
    )
    spread: str = setting(
        "batch",
        choices=SPREADS,
        label="Order chosen for",
        help="The whole batch (the paper's), each image, or each half of its guidance.",
        group=PREDICTION,
    )
    space: str = setting(
        BLOCKS,
        choices=(BLOCKS, MODULES),
        label="What has a trajectory",
        help="A block's output, or each attention's and MLP's.",
        group=PREDICTION,
    )
    rule: str = setting(
        "lagrange",
        choices=BLOCK_RULES,
        label="Rule",
        help="How the history becomes a prediction; an arm of its own each.",
        who=PYTHON,
    )
    weights: tuple[tuple[float, ...], ...] = setting(
        (), label="Weights", help="Of the rule learned, fitted beforehand.", who=PYTHON
    )
    abscissa: str = setting(
        "timestep",
        choices=ABSCISSAE,
        label="Extrapolate along",
        help="The coordinate of the trajectory; the last two need the scheduler.",
        group=PREDICTION,
    )
    full_steps: tuple[int, ...] | None = exactly_these_steps(
        "a number of computed steps, stride and warm-up"
    )
    compute: int | None = setting(
        None,
        kind="whole",
        low=1,
        high=MAX_STEPS,
        label="Computed steps",
        help="Exactly so many of the steps compute, in place of a stride.",
        group=BUDGET,
        shown=(1, 50, 1),
    )
    placement: str = setting(
        "even",
        choices=BLOCK_PLACEMENTS,
        label="Placement",
        help="Where a number of computed steps is: evenly spaced, more of them first, or by a plan "
        "from the noise schedule.",
    )
    tolerance: float = setting(
        0.02,
        low=0,
        high=100,
        label="Tolerance",
        help="How far steps skipped in a row may move the final latents, by estimate.",
        group=SCHEDULE,
        shown=(0.001, 0.1, 0.001),
        only=("stride", "auto"),
    )
    max_skips: int = setting(
        6,
        low=1,
        high=MAX_STRIDE,
        label="Most skips",
        help="Of stride auto: compute after so many skips in a row.",
        only=("stride", "auto"),
    )
    granularity: InitVar[str | None] = None

    def __post_init__(self, granularity: str | None) -> None:
        if granularity is not None:
            words = {"block": BLOCKS, "module": MODULES}
            object.__setattr__(self, "space", words.get(granularity, granularity))
        super().__post_init__()

    @classmethod
    def published(cls, stride: int = 3, max_order: int = 2, **settings: Any) -> Self:
        """Return the method as published, and nothing that came after it.

        Parameters
        ----------
        stride : int, default 3
            Every so many steps, one computes (§4.2).
        max_order : int, default 2
            Highest degree of the extrapolating polynomial (Eq. 6), chosen per block and timestep
            where std(|φ_n − φ_{n−1}|) is least (Eq. 7).
        **settings
            Other fields, such as the ``warmup`` of 2 that the paper takes for DiT-XL/2.
        """
        return cls(stride=stride, max_order=max_order, **settings)

    def check(self) -> None:
        """Raise ValueError where fields do not go together."""
        if abs(self.exponent) < 0.2:
            raise ValueError(f"exponent must be 0.2 to 1 in size, got {self.exponent!r}")
        object.__setattr__(self, "weights", tuple(map(tuple, self.weights)))
        if (self.rule == "learned") != bool(self.weights):
            raise ValueError("rule='learned' and weights go together: give both or neither")
        if self.rule in SERIES and (self.order, self.abscissa) != ("fixed", "step"):
            raise ValueError(
                f"rule={self.rule!r} chooses no order and goes along the steps: set order='fixed' "
                "and abscissa='step'"
            )
        if self.placement != "even" and self.compute is None and self.full_steps is None:
            raise ValueError(
                f"placement={self.placement!r} is where a number of computed steps goes: say how "
                "many with compute"
            )
        if self.decides_as_it_runs and self.max_order == 0:
            raise ValueError("stride='auto' estimates errors by differences: max_order must be ≥ 1")
        if self.decides_as_it_runs and (
            self.criterion == "power" or self.rule in ("learned", *SERIES)
        ):
            raise ValueError(
                "stride='auto' needs the spreads that std and mean measure, which neither a "
                "fitted rule has, nor Chebyshev's, dmd or foca: give a whole number"
            )

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return self.stride == "auto" and self.full_steps is None and self.compute is None

    @property
    def chooses(self) -> bool:
        """Whether every block, or module, chooses its order by its own history."""
        by_history = self.order == "dynamic" and self.criterion != "power"
        return by_history and self.max_order > 0 and self.rule not in ("learned", "reuse")

    @property
    def needs_num_steps(self) -> str:
        """What of it needs to know the number of steps beforehand; empty if nothing does."""
        if self.rule == "chebyshev":
            return "rule='chebyshev'"
        if self.full_steps is not None:
            return ""
        if self.compute is not None:
            return f"compute={self.compute}"
        return "last_step=True" if self.last_step else ""

    @property
    def whole_steps(self) -> bool:
        """Whether each step runs all blocks or none."""
        return self.space == BLOCKS

    @property
    def highest_order(self) -> int:
        """Highest order of extrapolation."""
        return self.max_order

    def plan_steps(self, num_steps: int) -> tuple[int, ...] | None:
        """Return the steps that will compute; None where the features, or the schedule, decide."""
        if self.decides_as_it_runs:
            return None
        if self.placed:
            by_count = PLACEMENTS[self.placement].by_count
            return self.place([0.0] * num_steps) if by_count else None
        stride = self.stride if isinstance(self.stride, int) else 1
        return computed_steps(num_steps, stride, self.warmup, self.last_step, self.full_steps)

    @property
    def placed(self) -> bool:
        """Whether a number of computed steps is placed."""
        return self.compute is not None and self.full_steps is None

    def place(self, log_snr: Sequence[float]) -> tuple[int, ...] | None:
        """Return the steps that will compute in a run with these values of λ."""
        if self.compute is None or not self.placed:
            return self.plan_steps(len(log_snr))
        return PLACEMENTS[self.placement].place(log_snr, min(self.compute, len(log_snr)))

    def budget(self, num_steps: int) -> int | None:
        """How many steps compute, or None where the features decide."""
        if self.compute is not None and self.placed:
            return min(self.compute, num_steps)
        return super().budget(num_steps)

    def points_watched(self, num_computed: int | None) -> int:
        """How many outputs of a block are kept for no other reason than that it is watched."""
        # Each attention's and MLP's history is there in any case, and where the order does not
        # follow from a block's own history nothing need be kept to know it.
        if not self.chooses or self.space != BLOCKS:
            return 0
        points = self.max_order + 1
        return points if num_computed is None else min(points, num_computed)

    def for_counting(self) -> Self:
        """Return what computes the same without a scheduler."""
        along = self.abscissa if self.rule in SERIES else "timestep"
        return replace(self, placement="even", abscissa=along)

    def plain(self) -> Self:
        """Return the same without what does not matter to it: reuse knows no order."""
        return replace(self, max_order=1) if self.rule == "reuse" else self
