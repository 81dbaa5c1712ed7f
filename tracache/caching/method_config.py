"""What the configurations of all methods share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from tracache.caching.calibration import Calibration
from tracache.caching.declare import check_settings, setting

MAX_STRIDE = 50
MAX_STEPS = 1000


def exactly_these_steps(place_of: str) -> Any:
    """Declare the setting that names the steps that compute, in whose place it stands."""
    return setting(
        None,
        kind="steps",
        low=0,
        high=MAX_STEPS,
        label="Exactly these steps",
        help=f"These compute, in place of {place_of}.",
    )


@dataclass(frozen=True)
class MethodConfig:
    """What the configurations of all methods share; this one computes everything.

    A subclass is a frozen dataclass. Those of its fields that are declared by
    :func:`~tracache.caching.declare.setting` are checked when it is made, and can be set on the
    command line, the page and elsewhere; what holds between fields is for :meth:`check`.
    """

    #: What it was read from, where that was calibrated beforehand for certain runs.
    calibration: ClassVar[Calibration | None] = None

    def __post_init__(self) -> None:
        check_settings(self)
        self.check()

    def check(self) -> None:
        """Raise ValueError where fields do not go together."""

    def check_steps(self, num_steps: int) -> None:
        """Raise ValueError where it is not for runs of so many steps."""
        if self.calibration is not None:
            self.calibration.check_steps(num_steps)

    @property
    def needs_num_steps(self) -> str:
        """What of it needs to know the number of steps beforehand; empty if nothing does."""
        return ""

    @property
    def decides_as_it_runs(self) -> bool:
        """Whether the features decide which steps compute."""
        return False

    @property
    def whole_steps(self) -> bool:
        """Whether each step runs all blocks or none."""
        return False

    @property
    def highest_order(self) -> int:
        """Highest order of extrapolation; 0 where it knows none."""
        return 0

    def plan_steps(self, num_steps: int) -> tuple[int, ...] | None:
        """Return the steps at which everything computes, or None where the run decides."""
        return None

    def place(self, log_snr: Sequence[float]) -> tuple[int, ...] | None:
        """Return the steps that compute everything, in a run with these values of λ.

        None where the features decide.
        """
        return self.plan_steps(len(log_snr))

    @property
    def replans(self) -> bool:
        """Whether a run changes its plan on its way."""
        return False

    def budget(self, num_steps: int) -> int | None:
        """How many steps compute everything, or None where the run decides."""
        plan = self.plan_steps(num_steps)
        return None if plan is None else len(plan)

    @property
    def at_scheduler(self) -> bool:
        """Whether it acts at the scheduler: a skipped step runs nothing of the denoiser."""
        return False

    def points_watched(self, num_computed: int | None) -> int:
        """How many outputs of a block are kept for no other reason than that it is watched.

        Parameters
        ----------
        num_computed : int or None
            Computed steps of the run, if known.
        """
        return 0

    def for_counting(self) -> Self:
        """Return what computes the same without a scheduler."""
        return self

    def plain(self) -> Self:
        """Return the same without what does not matter to it."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)
