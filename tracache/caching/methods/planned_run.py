"""One run at the scheduler: what it is handed, step by step, and what is corrected looking back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tracache.caching.correct import coefficients_of, get_tensor, put_tensor
from tracache.caching.gap import Gap, is_pure_noise
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.caching.plan import Bell, Motion, fit_bell, planned_steps, step_weights
from tracache.caching.rules.moment import Moment, Rule
from tracache.caching.rules.registry import RULES
from tracache.caching.spaces import SPACES, convert, guided_part


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
        self._moments = self._read_moments()
        #: One of what the scheduler is handed; or one of each tensor that a denoiser returns.
        self._rules: list[Rule] = []
        self._known: list[tuple[int, Tensor]] = []
        self._motions: list[Motion] = []
        self._gap: Gap | None = None

    def _read_moments(self) -> list[Moment]:
        c, steps = self._coefficients, len(self._log_snr)
        timesteps = torch.as_tensor(self._scheduler.timesteps).tolist()[self.first :]
        return [
            Moment(step, steps, float(timestep), level, c.prediction)
            for step, (timestep, level) in enumerate(zip(timesteps, c.levels, strict=True))
        ]

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
        return self._rules[-1].order if self._rules else 0

    def predict(self, place: int) -> Tensor:
        """Extrapolate, to the step that comes next, one of the tensors that a denoiser returned."""
        return self._rules[place].predict(self._moments[self.step])

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
                self._observe(step, [tensor.float() for tensor in returned], None)
            else:
                kind = SPACES[self._config.space]
                value = convert(estimate, corrected, level, "sample", kind)
                self._observe(step, [value], corrected)
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

    def _observe(self, step: int, values: Sequence[Tensor], sample: Tensor | None) -> None:
        levels = self._coefficients.levels
        # An estimate of pure noise is no point of a smooth trajectory.
        if not self._rules or (self._known[1:] and is_pure_noise(levels[self._known[1][0]])):
            make, order = RULES[self._config.rule], self._config.max_order
            self._rules = [make(order) for _ in values]
        for rule, value in zip(self._rules, values, strict=True):
            rule.observe(self._moments[step], value, sample)

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
            value = self._rules[0].predict(self._moments[step], sample)
            kind = SPACES[self._config.space]
        if self._gap is not None and self._config.correct:
            self._gap.add(step, convert(value, sample, level, kind, "sample"))
        if self._config.space == OUTPUT:
            return output
        return convert(value, sample, level, kind, c.prediction).to(output.dtype)
