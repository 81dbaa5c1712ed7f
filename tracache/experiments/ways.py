"""Ways of saving steps that are compared at equal computed steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import Setup
from tracache.models.schedulers import spacings_of

#: What all others are held against: as many steps as the others compute, spaced by default.
FEWER = "fewer steps"

#: What is to be shown.
TRACACHE = "tracache"

#: What no way can be: its steps were searched with full compute of the very prompt at hand.
BEST = "tracache, best plan found"

#: Way → its configuration for a number of computed steps; each differs from the first in one thing.
PLANNED: dict[str, Callable[[int], PlannedConfig]] = {
    "tracache": PlannedConfig,
    "tracache, not looking back": lambda n: PlannedConfig(n, correct=False),
    "tracache, even steps": lambda n: PlannedConfig(n, placement="even"),
    "tracache, measured plan": lambda n: PlannedConfig(n, placement="measured"),
    "tracache, data": lambda n: PlannedConfig(n, space="data"),
    "tracache, velocity": lambda n: PlannedConfig(n, space="velocity"),
    "tracache, output": lambda n: PlannedConfig(n, space="output"),
    "tracache, line": lambda n: PlannedConfig(n, rule="line"),
    "tracache, reuse": lambda n: PlannedConfig(n, rule="reuse"),
    "noise, even, not back": lambda n: PlannedConfig(n, placement="even", correct=False),
    "data, even, not back": lambda n: PlannedConfig(
        n, space="data", placement="even", correct=False
    ),
}

#: Way → arm that takes its steps evenly, as published or without looking at the scheduler.
EVEN: dict[str, dict[str, Any]] = {
    "published": {},
    "published, modules": {"space": "modules"},
    "published, planned steps": {},
    "reuse": {"rule": "reuse"},
    "taylorseer": {"rule": "taylor", "order": "fixed"},
    "hicache": {"rule": "hermite", "order": "fixed", "abscissa": "step"},
}


@dataclass(frozen=True)
class Circumstances:
    """What a table's rows have in common.

    Attributes
    ----------
    scheduler : str
        Of full compute.
    guidance_scale : float
        Of classifier-free guidance.
    steps : int
        Of full compute.
    """

    scheduler: str
    guidance_scale: float
    steps: int

    @property
    def name(self) -> str:
        """Short, for people and for records."""
        return f"{self.scheduler}, {self.steps} steps, guidance {self.guidance_scale:g}"


def by_plans(kind: str) -> str:
    """Name the way that is TraCache at the steps of calibrated plans of a kind."""
    return f"{TRACACHE}, {kind}"


def ways_of(scheduler: str, names: Sequence[str] = (), plans: Collection[str] = ()) -> list[str]:
    """Return the ways that can be measured with a scheduler, or those of them that are named.

    :data:`BEST` takes some hundred runs a prompt, and is measured only where it is named. Where
    there are calibrated ``plans``, by their kinds, those are ways too. Spacings of fewer steps are
    all measured unless one is named, or :data:`FEWER` itself.

    Raises
    ------
    ValueError
        If a name is unknown; the message lists those there are.
    """
    spaced = [FEWER, *(f"{FEWER}, {spacing}" for spacing in spacings_of(scheduler))]
    others = [*EVEN, *PLANNED, *map(by_plans, plans)]
    every = [*spaced, *others, BEST]
    for name in names:
        if name not in every:
            raise ValueError(f"unknown way {name!r}; choose from {', '.join(every)}")
    if not names:
        return [*spaced, *others]
    if any(name in spaced for name in names):
        spaced = [FEWER, *(way for way in spaced[1:] if way in names)]
    # Other ways borrow TraCache's steps.
    return [*spaced, *(way for way in (*others, BEST) if way in (TRACACHE, *names))]


def setup_of(
    way: str,
    around: Circumstances,
    computed: int,
    plan: Sequence[int],
    plans: Mapping[str, str] = MappingProxyType({}),
) -> Setup:
    """Return what a way does.

    Parameters
    ----------
    way : str
        As of :func:`ways_of`.
    around : Circumstances
        What it has in common with full compute.
    computed : int
        Steps that may compute.
    plan : sequence of int
        The steps that "tracache" computed.
    plans : mapping of str to str
        Kind of calibrated plans → the file that they are in.
    """
    for kind, file in plans.items():
        if way == by_plans(kind):
            config = PlannedConfig(computed, placement=kind, plan_file=file)
            return Setup(around.steps, config)
    if way.startswith(FEWER):
        spacing = way.removeprefix(FEWER).removeprefix(", ")
        return Setup(computed, scheduler=f"{around.scheduler}/{spacing}" if spacing else None)
    if way in PLANNED:
        return Setup(around.steps, PLANNED[way](computed))
    if way == "published, planned steps":
        return Setup(around.steps, TraCacheConfig(full_steps=tuple(plan)))
    return Setup(around.steps, TraCacheConfig(compute=computed, **EVEN[way]))
