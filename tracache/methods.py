"""Every arm that can be compared, by name.

An arm is the same pipeline with another plan: how many steps it takes, and which cache, if any,
is attached meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tracache.config import TraCacheConfig
from tracache.schedule import full_steps


@dataclass(frozen=True)
class Plan:
    """What an arm does with one request.

    Attributes
    ----------
    num_steps : int
        Denoising steps that the scheduler takes.
    cache : TraCacheConfig or None
        The cache attached meanwhile; None computes every step fully.
    """

    num_steps: int
    cache: TraCacheConfig | None = None

    @property
    def full_steps(self) -> tuple[int, ...]:
        """Indices of the steps that run the blocks."""
        if self.cache is None:
            return tuple(range(self.num_steps))
        c = self.cache
        return full_steps(self.num_steps, c.stride, c.warmup, c.last_step)


@dataclass(frozen=True)
class Method:
    """An arm.

    Attributes
    ----------
    id, title, summary : str
        Name in code and on the command line, name on the page, one plain sentence.
    plan : callable
        ``plan(num_steps, config) -> Plan`` for the asked number of steps and cache settings.
    """

    id: str
    title: str
    summary: str
    plan: Callable[[int, TraCacheConfig], Plan]


def _full(num_steps: int, config: TraCacheConfig) -> Plan:
    return Plan(num_steps)


def _fewer_steps(num_steps: int, config: TraCacheConfig) -> Plan:
    return Plan(len(Plan(num_steps, config).full_steps))


def _cached(**changes: Any) -> Callable[[int, TraCacheConfig], Plan]:
    return lambda num_steps, config: Plan(num_steps, replace(config, **changes))


METHODS: dict[str, Method] = {
    method.id: method
    for method in (
        Method("full", "Full compute", "Every block at every step: the reference.", _full),
        Method(
            "tracache",
            "TraCache",
            "Skipped steps follow the trajectory; its order is chosen per timestep.",
            _cached(order="dynamic", rule="lagrange"),
        ),
        Method(
            "fewer-steps",
            "Fewer steps",
            "Full compute with as many steps as the cache computes: the same cost, no cache.",
            _fewer_steps,
        ),
        Method(
            "reuse",
            "Reuse (FORA)",
            "Skipped steps repeat the last computed features.",
            _cached(rule="reuse"),
        ),
        Method(
            "taylorseer",
            "TaylorSeer",
            "Skipped steps follow a Taylor series from backward differences, at the highest order.",
            _cached(order="fixed", rule="taylor"),
        ),
        Method(
            "tracache-fixed",
            "TraCache, fixed order",
            "Skipped steps follow the trajectory, always at the highest order.",
            _cached(order="fixed", rule="lagrange"),
        ),
    )
}

REFERENCE = "full"


def find_method(method_id: str) -> Method:
    """Return the arm of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if method_id not in METHODS:
        raise ValueError(f"unknown arm {method_id!r}; choose from {', '.join(METHODS)}")
    return METHODS[method_id]
