"""Trajectories where the scheduler sees them, looking back, planned steps.

What has a trajectory is the guided prediction that the scheduler is handed. At a skipped step
nothing of the denoiser runs and the scheduler is handed the prediction's extrapolation, made with
the current latents. Once the far end of a gap is computed, what the skipped steps did is corrected:
they are integrated again with the denoised estimate x̂0 interpolated between both ends, by the
scheduler's own coefficients, as one weighted sum. Which steps compute follows from the noise
schedule alone. Nothing here reads a value back from the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tracache.caching.calibration import PLANS, TITLES, read_calibration
from tracache.caching.config import TraCacheConfig
from tracache.caching.coordinates import gaussian_noise
from tracache.caching.correct import coefficients_of, get_tensor, put_tensor
from tracache.caching.declare import HOST, setting
from tracache.caching.gap import Gap, is_pure_noise
from tracache.caching.method_config import (
    MAX_STEPS,
    MAX_STRIDE,
    MethodConfig,
    exactly_these_steps,
)
from tracache.caching.placements import PLACEMENTS, Placement, calibrated
from tracache.caching.plan import Bell, Motion, fit_bell, planned_steps, step_weights
from tracache.caching.spaces import SPACES, convert, guided_part
from tracache.caching.steps import computed_steps
from tracache.caching.trend import Trend

#: Of a run's steps, that compute unless somebody says how many.
SHARE = 0.4

#: The space of what the denoiser returns, before guidance; the others are the scheduler's.
OUTPUT = "output"
TRENDS = ("measured", "line", "reuse")


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
    trend : {"measured", "line", "reuse"}, default "measured"
        How: along the line through the last two points, damped for each item of the batch to what
        would have been best over the last gap; along that line; or repeating the last point.
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
    trend: str = setting(
        "measured",
        choices=TRENDS,
        label="Trend",
        help="A line as far as the last gap says it may be followed, the line, or reuse.",
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
        """Read the plans, if it goes by any, and raise ValueError where there are none."""
        kind = self.placement
        if kind in PLANS and not self.plan_file:
            raise ValueError(
                f"placement {kind!r} needs {TITLES[kind]} calibrated for the model: make them with "
                f"python -m tracache calibrate --what {kind}, and give the file as plan_file"
            )
        if self.plan_file and kind not in PLANS:
            raise ValueError(f"plan_file goes with placement {' or '.join(PLANS)}, not {kind!r}")
        if self.plan_file:
            object.__setattr__(self, "calibration", read_calibration(self.plan_file, kind))

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


class PlannedRun:
    """One pass of a scheduler over its steps.

    Parameters
    ----------
    scheduler
        Before its first step.
    config : PlannedConfig
        How it is accelerated.
    first : int
        Index of its first step among the scheduler's timesteps; more than 0 in image to image.

    Attributes
    ----------
    first : int
        As given.
    plan : tuple of int
        Steps that compute, as far as is known.
    step : int
        The step that comes next.
    """

    def __init__(self, scheduler: Any, config: PlannedConfig, first: int = 0) -> None:
        self._scheduler, self._config, self.first = scheduler, config, first
        self._coefficients = coefficients_of(scheduler, first)
        self._log_snr = [level.log_snr for level in self._coefficients.levels]
        if config.calibration is not None:
            config.calibration.check_schedule(self._log_snr)
        self.plan = config.place(self._log_snr)
        self.step = 0
        self._points = [gaussian_noise(point) for point in self._log_snr]
        #: One of what the scheduler is handed; or one of each tensor that a denoiser returns.
        self._trends: list[Trend] = []
        self._known: list[tuple[int, Tensor]] = []
        self._motions: list[Motion] = []
        self._gap: Gap | None = None

    @property
    def length(self) -> int:
        """How many steps there are."""
        return len(self._log_snr)

    @property
    def computes(self) -> bool:
        """Whether the step that comes next runs the denoiser; so does whatever follows the last."""
        return self.step in self.plan or self.step >= self.length

    @property
    def order(self) -> int:
        """Degree of what is predicted."""
        return self._trends[-1].order if self._trends else 0

    def predict(self, place: int) -> Tensor:
        """Extrapolate, to the step that comes next, one of the tensors that a denoiser returned."""
        return self._trends[place].predict(self._points[self.step])

    def hand(
        self, output: Tensor, sample: Tensor, returned: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return what the scheduler is handed in place of an output and the latents.

        Parameters
        ----------
        output : Tensor [batch, channels, ...]
            Guided; a stand-in where the step is skipped, but for trajectories of the output.
        sample : Tensor [batch, channels, ...]
            Latents, as the pipeline has them.
        returned : sequence of Tensor
            What the denoiser returned at a computed step, for trajectories of the output.
        """
        step = self.step
        self.step += 1
        if step not in self.plan:
            return self._extrapolate(step, output, sample), sample
        if len(self.plan) == self.length:
            return output, sample
        return self._compute(step, output, sample, returned)

    def _compute(
        self, step: int, output: Tensor, sample: Tensor, returned: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        c, level = self._coefficients, self._coefficients.levels[step]
        estimate = convert(guided_part(output, sample), sample, level, c.prediction, "sample")
        self._known.insert(0, (step, estimate))
        corrected = self._look_back(sample)
        if corrected is not sample:
            # x̂0 stays as computed; the output that says so is another where the latents are.
            said = convert(estimate, corrected, level, "sample", c.prediction)
            output = said.to(output.dtype)
        if self._config.replans:
            self._plan_anew(step)
        later = [b for b in self.plan if b > step]
        self._gap = Gap(c, step, later[0]) if later and later[0] > step + 1 else None
        if self.step < self.length:
            if self._config.space == OUTPUT:
                self._observe(step, [tensor.float() for tensor in returned])
            else:
                kind = SPACES[self._config.space]
                self._observe(step, [convert(estimate, corrected, level, "sample", kind)])
        # The next look back is along these and the gap's end.
        del self._known[self._config.correct_order :]
        return output, corrected

    def _look_back(self, sample: Tensor) -> Tensor:
        """Correct what the scheduler remembers, and return the corrected latents."""
        if self._gap is None or not self._config.correct:
            return sample
        corrected = sample
        for slot, change in self._gap.changes(self._known, self._config.correct_order):
            if slot is None:
                corrected = (sample.to(change.dtype) + change).to(sample.dtype)
            elif (old := get_tensor(self._scheduler, slot)) is not None:
                new = change if self._gap.makes(slot) else old.to(change.dtype) + change
                put_tensor(self._scheduler, slot, new.to(old.dtype))
        return corrected

    def _observe(self, step: int, values: Sequence[Tensor]) -> None:
        levels = self._coefficients.levels
        # An estimate of pure noise is no point of a smooth trajectory.
        if not self._trends or (self._known[1:] and is_pure_noise(levels[self._known[1][0]])):
            self._trends = [Trend(self._config.trend) for _ in values]
        for trend, value in zip(self._trends, values, strict=True):
            trend.observe(self._points[step], value)

    def _plan_anew(self, step: int) -> None:
        """Place what is left of the budget by what has been measured so far."""
        left = len([b for b in self.plan if b > step])
        if left == 0 or len(self._known) < 2:
            return
        (_, here), (before, last) = self._known[:2]
        if is_pure_noise(self._coefficients.levels[before]):
            return
        # The one reading of a device in a run: a number per computed step.
        moved = float((here - last).norm() / here.norm())
        self._motions.append(Motion(self._log_snr[before], self._log_snr[step], moved))
        points = tuple(self._log_snr[step:])
        weights = step_weights(self._log_snr)[step:]
        rest = planned_steps(points, weights, left + 1, fit_bell(self._motions, Bell()))
        self.plan = tuple(b for b in self.plan if b < step) + tuple(step + b for b in rest)

    def _extrapolate(self, step: int, output: Tensor, sample: Tensor) -> Tensor:
        c, level = self._coefficients, self._coefficients.levels[step]
        if self._config.space == OUTPUT:
            value, kind = guided_part(output, sample), c.prediction
        else:
            value, kind = self._trends[0].predict(self._points[step]), SPACES[self._config.space]
        if self._gap is not None and self._config.correct:
            self._gap.add(step, convert(value, sample, level, kind, "sample"))
        if self._config.space == OUTPUT:
            return output
        return convert(value, sample, level, kind, c.prediction).to(output.dtype)
