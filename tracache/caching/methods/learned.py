"""L2P's weights from a file: the best linear prediction of features, calibrated step by step."""

from __future__ import annotations

from dataclasses import dataclass

from tracache.caching.calibration import WEIGHTS, read_calibration
from tracache.caching.config import TraCacheConfig
from tracache.caching.declare import HOST, setting
from tracache.caching.method_config import MethodConfig


@dataclass(frozen=True)
class LearnedConfig(MethodConfig):
    """Where weights are that :mod:`tracache.caching.fit` has fitted.

    Calibrated: they belong to a model, its scheduler and number of steps, and to the numbers of
    computed steps that they were fitted for.

    Attributes
    ----------
    file : str
        What ``python -m tracache calibrate --what weights`` wrote.

    Raises
    ------
    ValueError
        If there is no such file.
    """

    file: str = setting("", label="Weights", help="What calibrate wrote.", who=HOST, needed=True)

    def check(self) -> None:
        """Read the file, and raise ValueError where there is none."""
        if not self.file:
            raise ValueError(
                "the arm l2p needs weights calibrated for the model: fit them with python -m "
                "tracache calibrate --what weights, and give them as --option l2p.file=PATH"
            )
        object.__setattr__(self, "calibration", read_calibration(self.file, WEIGHTS))

    def forecast(self, compute: int) -> TraCacheConfig:
        """Return what runs with so many computed steps, evenly spaced, the ends among them.

        Raises
        ------
        ValueError
            If none were fitted for that many.
        """
        assert self.calibration is not None
        plan = self.calibration.plan(compute)
        values = self.calibration.values
        return TraCacheConfig(
            rule="learned",
            weights=tuple(map(tuple, values["rows"][str(compute)])),
            max_order=values["max_order"],
            full_steps=plan,
            abscissa="step",
        )
