"""MagCache (arXiv 2506.09045): how residuals grow and shrink, calibrated, tells what to skip."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tracache.caching.calibration import MAGNITUDES, Calibration, read_calibration
from tracache.caching.checks import require_number
from tracache.caching.declare import HOST, rising, setting
from tracache.caching.method_config import MAX_STRIDE, MethodConfig
from tracache.caching.methods.base import Call
from tracache.caching.methods.residual import Residual


@dataclass(frozen=True)
class MagCacheConfig(MethodConfig):
    """Ratios of the residual's size from step to step, and how much error they may say.

    Calibrated: ratios belong to a model and its scheduler. ``python -m tracache calibrate``
    measures them, by :mod:`tracache.caching.magnitudes`.

    Attributes
    ----------
    ratios : tuple of float
        For each step the mean size of what the blocks change (output − input) there over that at
        the step before; the first is 1. For a run of another number of steps the nearest are taken.
    file : str, default ""
        Where they are, in their place: what ``calibrate`` wrote, which is for its own number of
        steps alone, or a JSON list.
    threshold : float, default 0.06
        Since the last computed step, errors of reuse, |1 − product of ratios|, add up to less than
        this at a skipped step (0 … 100); 0 is full compute.
    max_skips : int, default 3
        K: compute after so many skips in a row (1 … 50).
    retention : float, default 0.2
        Share of the run, from its start, that computes (0 … 1).

    Raises
    ------
    ValueError
        If there are no ratios, or one is no positive number.
    """

    ratios: tuple[float, ...] = ()
    file: str = setting(
        "", label="Ratios", help="What calibrate wrote, or a list.", who=HOST, needed=True
    )
    threshold: float = setting(
        0.06, low=0, high=100, label="Threshold", tries=rising(0.01, 1.0, 10)
    )
    max_skips: int = setting(3, low=1, high=MAX_STRIDE, label="Most skips", tries=(3, 6))
    retention: float = setting(0.2, low=0, high=1, label="Retention ratio", tries=(0.1, 0.2))

    def check(self) -> None:
        """Read the file, if there is one, and raise ValueError where the ratios are none."""
        if self.file:
            ratios, calibration = read_ratios(Path(self.file))
            object.__setattr__(self, "ratios", ratios)
            object.__setattr__(self, "calibration", calibration)
        ratios = tuple(self.ratios)
        if not ratios:
            raise ValueError(
                "the arm mag needs ratios calibrated for the model: measure them with python -m "
                "tracache calibrate --what magnitudes, and give them as --option mag.file=PATH, or "
                "as ratios=… of MagCacheConfig"
            )
        for ratio in ratios:
            require_number("ratios", ratio, 1e-6, 1e6)
        object.__setattr__(self, "ratios", ratios)

    @property
    def needs_num_steps(self) -> str:
        """What of it needs to know the number of steps beforehand."""
        return "MagCache"

    def plan_steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the steps at which the blocks run: ratios alone decide."""
        self.check_steps(num_steps)
        ratios = nearest_ratios(self.ratios, num_steps)
        retained = int(self.retention * num_steps + 0.5)
        plan, product, error, skips = [], 1.0, 0.0, 0
        for step, ratio in enumerate(ratios):
            if step < max(retained, 1):
                plan.append(step)
                continue
            product, skips = product * ratio, skips + 1
            error += abs(1.0 - product)
            if error >= self.threshold or skips > self.max_skips:
                plan.append(step)
                product, error, skips = 1.0, 0.0, 0
        return tuple(plan)


def nearest_ratios(ratios: tuple[float, ...], num_steps: int) -> tuple[float, ...]:
    """Return ratios for another number of steps: the nearest, the ends staying ends."""
    if num_steps == 1:
        return ratios[-1:]
    stretch = (len(ratios) - 1) / (num_steps - 1)
    return tuple(ratios[round(step * stretch)] for step in range(num_steps))


def read_ratios(path: Path) -> tuple[tuple[float, ...], Calibration | None]:
    """Read ratios, and what they are calibrated for, which a bare JSON list does not say.

    Raises
    ------
    ValueError
        If the file is neither such a list nor one of ``calibrate``.
    OSError
        If it cannot be read.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON list of ratios: {error}") from None
    if isinstance(found, list):
        return tuple(found), None
    if not isinstance(found, dict) or "calibrated" not in found:
        raise ValueError(f"{path.name} is no list of numbers")
    calibration = read_calibration(path, MAGNITUDES)
    return tuple(calibration.values["ratios"]), calibration


class MagCache(Residual):
    """Keeps the change over all blocks."""

    def decide(self, call: Call) -> bool:
        num_steps = self.step.num_steps
        if num_steps is None:
            raise ValueError("MagCache needs the number of steps: pass num_steps")
        return self.change is None or self.step.index in self.config.plan_steps(num_steps)
