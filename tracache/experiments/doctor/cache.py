"""A cache as the doctor takes it: how it is put on, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tracache.experiments.doctor.subject import Subject

#: Puts a cache on a subject for runs of so many steps; it is off when the context ends.
Attach = Callable[[Subject, int], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Cache:
    """A cache to be examined, and what it says of itself.

    Attributes
    ----------
    name : str
        In words.
    attach : callable
        Puts it on.
    order : int, default 0
        Degree of the polynomial that it forecasts with.
    points : int, default 2
        Computed calls that it takes for that.
    along : {"step", "time"}, default "step"
        What that polynomial is in.
    loose : callable, optional
        As ``attach``, with the loosest threshold, where it has one.
    reset : callable, optional
        Makes it forget a run, where that has to be asked for.
    at_scheduler : bool, default False
        Whether a scheduler is handed what it forecasts, in place of what the denoiser returns.
    note : str, default ""
        What to know of its settings.
    """

    name: str
    attach: Attach
    order: int = 0
    points: int = 2
    along: str = "step"
    loose: Attach | None = None
    reset: Callable[[Subject], None] | None = None
    at_scheduler: bool = False
    note: str = ""
