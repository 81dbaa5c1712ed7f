"""What happens while a comparison runs, told as it happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracache.compare.preview import Glimpse, Palette
from tracache.compare.report import ArmResult, Report


@dataclass(frozen=True)
class Stage:
    """Work between the arms, with a line to show: encode, warm-up, count, timing or trace."""

    name: str
    message: str


@dataclass(frozen=True)
class ArmStarted:
    """An arm begins; its glimpses are shown through the palette."""

    arm: str
    title: str
    num_steps: int
    palette: Palette = field(repr=False, compare=False)


@dataclass(frozen=True)
class StepDone:
    """An arm finished its ``step``-th step (from 0); ``computed`` if it left out nothing."""

    arm: str
    step: int
    num_steps: int
    computed: bool
    elapsed_s: float
    glimpse: Glimpse | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ArmDone:
    """An arm finished."""

    result: ArmResult


@dataclass(frozen=True)
class Finished:
    """Everything is done."""

    report: Report


Event = Stage | ArmStarted | StepDone | ArmDone | Finished
