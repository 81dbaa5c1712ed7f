"""Which steps of a request will compute, before anything is loaded or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tracache.caching.spaces import levels_of
from tracache.compare.arm import Setup
from tracache.compare.arms import ARMS
from tracache.compare.request import Request
from tracache.media import VideoSize
from tracache.models.registry import find_model
from tracache.models.schedules import scheduler_of_run
from tracache.settings import Settings


@dataclass(frozen=True)
class ArmPlan:
    """Which steps one arm will compute.

    Attributes
    ----------
    arm, title : str
        Name in code and on the page.
    num_steps : int or None
        Denoising steps; None where that follows from another arm's run.
    steps : tuple of int or None
        Indices of those that compute everything; None where the run decides.
    changes : bool
        Whether the run places them anew on its way; as many will compute in any case.
    """

    arm: str
    title: str
    num_steps: int | None
    steps: tuple[int, ...] | None
    changes: bool = False

    @classmethod
    def of(cls, arm: str, setup: Setup | None, steps: tuple[int, ...] | None = None) -> ArmPlan:
        """Return the plan of an arm whose setup is known, or is not."""
        title = ARMS[arm].title
        if setup is None:
            return cls(arm, title, None, None)
        changes = setup.cache is not None and setup.cache.replans
        return cls(arm, title, setup.num_steps, steps, changes)

    def describe(self) -> str:
        """Say which they are."""
        if self.num_steps is None or self.steps is None:
            return "decided while it runs"
        if len(self.steps) == self.num_steps:
            return f"all {self.num_steps} steps compute"
        which = " ".join(str(step + 1) for step in self.steps)
        first = ", which the run places anew on its way" if self.changes else ""
        return f"{len(self.steps)} of {self.num_steps} steps compute: {which}{first}"


def plans(request: Request, settings: Settings | None = None) -> tuple[ArmPlan, ...]:
    """Return the plan of each arm of a request.

    Parameters
    ----------
    request : Request
        What will run.
    settings : Settings, optional
        Where the models' files are; from the environment if not given.

    Raises
    ------
    OSError
        If the model's folder is incomplete.
    """
    settings = settings or Settings.from_environment()
    return tuple(plan_arm(request, arm, settings) for arm in request.arms)


def plan_arm(request: Request, arm: str, settings: Settings) -> ArmPlan:
    """Return the plan of one arm; see :func:`plans`."""
    known = None
    if request.waits(arm):
        matched = request.set_up(request.matched or arm)
        known = matched.num_computed if matched.whole_steps else None
        if known is None:
            return ArmPlan.of(arm, None)
    setup = request.set_up(arm, known)
    return ArmPlan.of(arm, setup, steps_of(setup, request, settings))


def steps_of(setup: Setup, request: Request, settings: Settings) -> tuple[int, ...] | None:
    """Return the steps that a setup computes; None where its run decides."""
    if setup.cache is None or setup.computed_steps is not None:
        return setup.computed_steps
    if request.spec.stock and not request.spec.known:
        return None
    name = setup.scheduler or request.scheduler
    return setup.cache.place(_log_snr(request.model, name, setup.num_steps, request.size, settings))


@lru_cache(maxsize=64)
def _log_snr(
    model: str, scheduler: str, num_steps: int, size: int | VideoSize, settings: Settings
) -> Sequence[float]:
    """λ at each step of a run."""
    levels = levels_of(scheduler_of_run(find_model(model), scheduler, num_steps, size, settings))
    return tuple(level.log_snr for level in levels)
