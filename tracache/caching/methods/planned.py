"""Trajectories where the scheduler sees them, looking back, planned steps.

What has a trajectory is the guided prediction that the scheduler is handed. At a skipped step
nothing of the denoiser runs and the scheduler is handed the prediction's extrapolation, made with
the current latents. Once the far end of a gap is computed, what the skipped steps did is corrected:
they are integrated again with the denoised estimate x̂0 interpolated between both ends, by the
scheduler's own coefficients, as one weighted sum. Which steps compute follows, by default, from the
noise schedule alone.

Space, rule and placement are three axes: any of one goes with any of the others, but where a check
says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracache.caching.calibration import PLANS, read_plans
from tracache.caching.config import MAX_ORDER, TraCacheConfig
from tracache.caching.declare import HOST, setting
from tracache.caching.method_config import (
    MAX_STEPS,
    MAX_STRIDE,
    MethodConfig,
    exactly_these_steps,
)
from tracache.caching.placements import PLACEMENTS, Placement, calibrated
from tracache.caching.rules.registry import RULES
from tracache.caching.spaces import SPACES
from tracache.caching.steps import computed_steps

#: Of a run's steps, that compute unless somebody says how many.
SHARE = 0.4

#: The space of what the denoiser returns, before guidance; the others are the scheduler's.
OUTPUT = "output"


@dataclass(frozen=True)
class PlannedConfig(MethodConfig):
    """How a run with a budget of computed steps is predicted, placed and corrected.

    Attributes
    ----------
    compute : int or None, default None
        Steps that run the denoiser, never more; a run of no more steps computes them all. None is
        two fifths of the run's steps.
    placement : str, default "planned"
        Where they are, see :mod:`tracache.caching.placements`: ``planned`` from the noise
        schedule; ``measured``, by a plan that is made anew for the rest of the budget after each
        computed step, from what has been measured in the run; ``even``, evenly spaced, first and
        last among them; ``leading``, a third of them in a row first and the rest evenly;
        ``growing``, some in a row and then ever fewer, as Spectrum's; ``lemica`` and ``dpcache``,
        by plans that were calibrated.
    stride : int or None, default None
        In place of both: the first step, every ``stride``-th after it, and the last.
    full_steps : tuple of int or None, default None
        In place of all three: exactly these.
    space : {"noise", "data", "velocity", "output"}, default "noise"
        Whose trajectory is extrapolated: the guided ε̂, x̂0 or v, or whatever the denoiser
        returns, each half of guidance for itself. Looking back is in x̂0 in any case.
    rule : str, default "measured"
        How, see :mod:`tracache.caching.rules`: ``measured``, along the line through the last two
        points, damped for each item of the batch to what would have been best over the last gap;
        ``line``, along that line; ``reuse``, repeating the last point; ``lagrange``, ``taylor``,
        ``hermite`` and ``chebyshev`` as in :class:`~tracache.caching.config.TraCacheConfig`;
        ``dmd``, exponentials; ``foca``, forecast and calibrate; ``zeus``, the output plus its
        difference in turn with the output; ``vde``, along and across the latents, of the velocity.
    max_order : int, default 2
        Highest degree of lagrange, taylor, hermite and chebyshev (0 … 5), which always take the
        highest that the history allows. Spectrum is published with 4.
    correct : bool, default True
        Whether to look back.
    correct_order : int, default 1
        Degree of the polynomial that x̂0 is interpolated with (1 … 3); higher ones were measured
        to be no nearer, and keep a tensor more each.
    plan_file : str, default ""
        For the placements ``lemica`` and ``dpcache``: what ``python -m tracache calibrate`` wrote.
        It is for runs of its own number of steps and noise schedule; others are refused.
    """

    compute: int | None = setting(
        None,
        kind="whole",
        low=1,
        high=MAX_STEPS,
        label="Computed steps",
        help="Never more than so many compute; two fifths of a run's if not given.",
    )
    placement: str = setting(
        "planned",
        choices=(*PLACEMENTS, *PLANS),
        for_host=PLANS,
        label="Placement",
        help="Where they are: by a plan from the noise schedule, by one that the run corrects, "
        "evenly spaced, or more of them first.",
    )
    stride: int | None = setting(
        None, kind="whole", low=1, high=MAX_STRIDE, label="Stride", help="In place of a plan."
    )
    full_steps: tuple[int, ...] | None = exactly_these_steps("a number of computed steps")
    space: str = setting(
        "noise",
        choices=(*SPACES, OUTPUT),
        label="Space",
        help="Whose trajectory is extrapolated: the guided ε̂, x̂0 or v at the scheduler, or the "
        "denoiser's output.",
    )
    rule: str = setting(
        "measured",
        choices=tuple(RULES),
        label="Rule",
        help="How it goes on: a line as far as the last gap says it may be followed, the line, "
        "reuse, or as others have it.",
    )
    max_order: int = setting(
        2,
        low=0,
        high=MAX_ORDER,
        label="Highest order",
        help="Of the rules lagrange, taylor, hermite and chebyshev.",
    )
    correct: bool = setting(
        True, label="Look back", help="Correct the latents once a gap's far end is computed."
    )
    correct_order: int = setting(
        1, low=1, high=3, label="Order of looking back", help="Degree of x̂0's interpolation."
    )
    plan_file: str = setting(
        "",
        label="Plans",
        help="Of the placements lemica and dpcache: what calibrate wrote.",
        who=HOST,
    )

    def check(self) -> None:
        """Read the plans, if it goes by any; raise ValueError where fields do not go together."""
        if self.rule == "vde" and self.space != "velocity":
            raise ValueError(
                "rule='vde' follows the velocity along the latents and across them: use "
                f"space='velocity', got {self.space!r}"
            )
        object.__setattr__(self, "calibration", read_plans(self.placement, self.plan_file))

    @property
    def _placement(self) -> Placement:
        found = self.calibration
        return PLACEMENTS[self.placement] if found is None else calibrated(found)

    @property
    def whole_steps(self) -> bool:
        """Whether each step runs all blocks or none."""
        return True

    @property
    def at_scheduler(self) -> bool:
        """Whether a skipped step runs nothing of the denoiser."""
        return True

    def points_watched(self, num_computed: int | None) -> int:
        """How many outputs of a block are kept where it is watched beside the plan."""
        return TraCacheConfig.published().points_watched(num_computed)

    def place(self, log_snr: Sequence[float]) -> tuple[int, ...]:
        """Return the steps that compute, in a run with these values of λ."""
        steps = len(log_snr)
        if self.full_steps is not None or self.stride is not None:
            return computed_steps(steps, self.stride or 1, 1, True, self.full_steps)
        return self._placement.place(log_snr, self.budget(steps))

    def budget(self, num_steps: int) -> int:
        """How many of so many steps compute."""
        if self.full_steps is not None or self.stride is not None:
            return len(computed_steps(num_steps, self.stride or 1, 1, True, self.full_steps))
        compute = max(1, round(SHARE * num_steps)) if self.compute is None else self.compute
        return min(compute, num_steps)

    def plan_steps(self, num_steps: int) -> tuple[int, ...] | None:
        """Return the steps that compute; None, since where the budget goes the schedule says."""
        fixed = self.full_steps is not None or self.stride is not None
        if fixed or self._placement.by_count:
            return self.place([0.0] * num_steps)
        return None

    @property
    def replans(self) -> bool:
        """Whether a run changes its plan on its way."""
        fixed = self.full_steps is not None or self.stride is not None
        return self._placement.changes and not fixed
