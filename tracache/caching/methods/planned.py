"""Trajectories where the scheduler sees them, looking back, planned steps.

What has a trajectory is the guided prediction that the scheduler is handed. At a skipped step
nothing of the denoiser runs and the scheduler is handed the prediction's extrapolation, made with
the current latents. Once the far end of a gap is computed, what the skipped steps did is corrected:
they are integrated again with the denoised estimate x̂0 interpolated between both ends, by the
scheduler's own coefficients, as one weighted sum. Which steps compute follows from the noise
schedule alone. Nothing here reads a value back from the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracache.caching.config import MAX_STEPS, MethodConfig
from tracache.caching.correct import (
    Coefficients,
    Slot,
    gaussian_data,
    gaussian_noise,
    get_tensor,
    interpolation,
    put_tensor,
    read_coefficients,
)
from tracache.caching.declare import setting
from tracache.caching.plan import even_steps, planned_steps, step_weights
from tracache.caching.spaces import SPACES, Level, convert, guided_part

#: Up to this much signal over noise an estimate is one of pure noise.
SIGNAL = 1e-3

PLACEMENTS = ("planned", "even")
TRENDS = ("measured", "line", "reuse")


@dataclass(frozen=True)
class PlannedConfig(MethodConfig):
    """How a run with a budget of computed steps is predicted, placed and corrected.

    Attributes
    ----------
    compute : int, default 8
        Steps that run the denoiser, never more; a run of no more steps computes them all.
    placement : {"planned", "even"}, default "planned"
        Where they are: by a plan from the noise schedule, or evenly spaced, first and last among
        them.
    space : {"noise", "data", "velocity"}, default "noise"
        Whose trajectory is extrapolated: the guided ε̂, x̂0 or v.
    trend : {"measured", "line", "reuse"}, default "measured"
        How: along the line through the last two points, damped for each item of the batch to what
        would have been best over the last gap; along that line; or repeating the last point.
    correct : bool, default True
        Whether to look back.
    correct_order : int, default 2
        Degree of the polynomial that x̂0 is interpolated with (1 … 3).
    """

    compute: int = setting(
        8, low=1, high=MAX_STEPS, label="Computed steps", help="Never more than these compute."
    )
    placement: str = setting(
        "planned",
        choices=PLACEMENTS,
        label="Placement",
        help="Where they are: by a plan from the noise schedule, or evenly spaced.",
    )
    space: str = setting(
        "noise",
        choices=tuple(SPACES),
        label="Space",
        help="Whose trajectory is extrapolated: the guided ε̂, x̂0 or v at the scheduler.",
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
        2, low=1, high=3, label="Order of looking back", help="Degree of x̂0's interpolation."
    )

    @property
    def whole_steps(self) -> bool:
        """Whether each step runs all blocks or none."""
        return True

    def place(self, log_snr: Sequence[float]) -> tuple[int, ...]:
        """Return the steps that compute, in a run with these values of λ."""
        compute = min(self.compute, len(log_snr))
        if self.placement == "even":
            return even_steps(len(log_snr), compute)
        points = tuple(log_snr)
        return planned_steps(points, step_weights(points), compute)


class Trend:
    """A line through a trajectory's last two points, followed as far as it can be trusted.

    With p_0 the newest value, at τ_0, and D the divided difference of the last two,

        φ(τ) = p_0 + g · (τ − τ_0) · D.

    The gain g is what would have been best over the gap that has just ended, in least squares and
    between nought and one: nought is reuse (right where gaps are so wide that the trajectory turns
    within them), one the line. It is a tensor, one value an item, and is not read back.

    Parameters
    ----------
    kind : {"measured", "line", "reuse"}
        As in :class:`PlannedConfig`.
    """

    def __init__(self, kind: str = "measured") -> None:
        self._kind = kind
        self._point = 0.0
        self._newest: Tensor | None = None
        self._slope: Tensor | None = None
        # Before a gap can be measured, half of the line.
        self._gain: Tensor | float = 0.5 if kind == "measured" else 1.0

    @property
    def order(self) -> int:
        """Degree of what is predicted: 0 repeats the newest value."""
        return 0 if self._slope is None else 1

    def observe(self, point: float, value: Tensor) -> None:
        """Add a computed point.

        Parameters
        ----------
        point : float
            τ; further than the last.
        value : Tensor [batch, ...]
            In float32 or wider.
        """
        if self._newest is not None and self._kind != "reuse":
            change = value - self._newest
            width = point - self._point
            if self._kind == "measured" and self._slope is not None:
                axes = tuple(range(1, value.dim()))
                fit = (self._slope * change).sum(axes) / self._slope.square().sum(axes) / width
                fit = fit.nan_to_num(0.0).clamp(0.0, 1.0)
                self._gain = fit.reshape(-1, *[1] * (value.dim() - 1))
            self._slope = change.div_(width)
        self._point, self._newest = point, value

    def predict(self, point: float) -> Tensor:
        """Extrapolate to an abscissa τ."""
        if self._newest is None:
            raise RuntimeError("the first step of a run must compute")
        if self._slope is None:
            return self._newest
        ahead = point - self._point
        if isinstance(self._gain, Tensor):
            return torch.addcmul(self._newest, self._gain, self._slope, value=ahead)
        return torch.add(self._newest, self._slope, alpha=ahead * self._gain)


class Gap:
    """The skipped steps between two computed ones, and what the scheduler made of them.

    Parameters
    ----------
    coefficients : Coefficients
        Of the run.
    start, end : int
        The computed steps on its two sides.
    """

    def __init__(self, coefficients: Coefficients, start: int, end: int) -> None:
        self._levels = coefficients.levels
        self._steps = range(start + 1, end)
        rows: dict[Slot | None, Tensor] = {None: coefficients.estimates[end]}
        rows.update((slot, row[1:]) for slot, row in coefficients.memory[end].items())
        weights = {slot: [float(row[step]) for step in self._steps] for slot, row in rows.items()}
        self._weights = {slot: row for slot, row in weights.items() if any(row)}
        self._used: dict[Slot | None, Tensor] = {}

    def add(self, step: int, estimate: Tensor) -> None:
        """Note the denoised estimate that a skipped step was handed, float32 [batch, ...]."""
        for slot, row in self._weights.items():
            weight = row[step - self._steps.start]
            if slot in self._used:
                self._used[slot].add_(estimate, alpha=weight)
            else:
                self._used[slot] = estimate * weight

    def changes(
        self, known: Sequence[tuple[int, Tensor]], degree: int
    ) -> Iterator[tuple[Slot | None, Tensor]]:
        """Yield what changes at the gap's end with interpolated estimates.

        Parameters
        ----------
        known : sequence of (step, Tensor)
            Computed estimates, newest first; the newest is the gap's end's.
        degree : int
            Of the polynomial through the newest ones.

        Yields
        ------
        tuple of (Slot or None, Tensor)
            What the scheduler remembers there, or the latents, and what to add to it.
        """
        # Before the gap, an estimate of pure noise is no point of a smooth trajectory.
        points = [
            point
            for k, point in enumerate(known[: degree + 1])
            if k < 2 or not is_pure_noise(self._levels[point[0]])
        ]
        at = [gaussian_data(self._levels[step].log_snr) for step, _ in points]
        shares = [
            interpolation(gaussian_data(self._levels[step].log_snr), at) for step in self._steps
        ]
        for slot, row in self._weights.items():
            total = self._used[slot].neg()
            for k, (_, estimate) in enumerate(points):
                alpha = sum(w * share[k] for w, share in zip(row, shares, strict=True))
                total.add_(estimate, alpha=alpha)
            yield slot, total


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
    plan : tuple of int
        Steps that compute.
    step : int
        The step that comes next.
    """

    def __init__(self, scheduler: Any, config: PlannedConfig, first: int = 0) -> None:
        self._scheduler, self._config = scheduler, config
        self._coefficients = read_coefficients(scheduler, first)
        log_snr = [level.log_snr for level in self._coefficients.levels]
        self.plan = config.place(log_snr)
        self.step = 0
        self._length = len(log_snr)
        self._kind = SPACES[config.space]
        self._points = [gaussian_noise(point) for point in log_snr]
        self._trend = Trend(config.trend)
        self._known: list[tuple[int, Tensor]] = []
        self._gap: Gap | None = None

    @property
    def computes(self) -> bool:
        """Whether the step that comes next runs the denoiser; so does whatever follows the last."""
        return self.step in self.plan or self.step >= self._length

    @property
    def order(self) -> int:
        """Degree of what is predicted."""
        return self._trend.order

    def hand(self, output: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the scheduler is handed in place of an output and the latents.

        Parameters
        ----------
        output : Tensor [batch, channels, ...]
            Guided; a stand-in where the step is skipped.
        sample : Tensor [batch, channels, ...]
            Latents, as the pipeline has them.
        """
        step = self.step
        self.step += 1
        if step not in self.plan:
            return self._extrapolate(step, sample, output.dtype), sample
        if len(self.plan) == self._length:
            return output, sample
        return self._compute(step, output, sample)

    def _compute(self, step: int, output: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        c, level = self._coefficients, self._coefficients.levels[step]
        estimate = convert(guided_part(output, sample), sample, level, c.prediction, "sample")
        self._known = [(step, estimate), *self._known[: self._config.correct_order]]
        corrected = sample
        if self._gap is not None and self._config.correct:
            for slot, change in self._gap.changes(self._known, self._config.correct_order):
                if slot is None:
                    corrected = (sample.to(change.dtype) + change).to(sample.dtype)
                elif (old := get_tensor(self._scheduler, slot)) is not None:
                    new = (old.to(change.dtype) + change).to(old.dtype)
                    put_tensor(self._scheduler, slot, new)
            # x̂0 stays as computed; the output that says so is another where the latents are.
            said = convert(estimate, corrected, level, "sample", c.prediction)
            output = said.to(output.dtype)
        later = [b for b in self.plan if b > step]
        self._gap = Gap(c, step, later[0]) if later and later[0] > step + 1 else None
        if self.step < self._length:
            if self._known[1:] and is_pure_noise(c.levels[self._known[1][0]]):
                self._trend = Trend(self._config.trend)
            value = convert(estimate, corrected, level, "sample", self._kind)
            self._trend.observe(self._points[step], value)
        return output, corrected

    def _extrapolate(self, step: int, sample: Tensor, dtype: torch.dtype) -> Tensor:
        c, level = self._coefficients, self._coefficients.levels[step]
        value = self._trend.predict(self._points[step])
        if self._gap is not None and self._config.correct:
            self._gap.add(step, convert(value, sample, level, self._kind, "sample"))
        return convert(value, sample, level, self._kind, c.prediction).to(dtype)


def is_pure_noise(level: Level) -> bool:
    """Whether an estimate at this level is no point of a smooth trajectory."""
    return level.signal <= SIGNAL * level.noise
