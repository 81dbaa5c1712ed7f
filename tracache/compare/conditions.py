"""What figures of an arm have to be, so that a comparison can stand in somebody's checks."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracache.compare.arm import REFERENCE
from tracache.compare.arms import ARMS
from tracache.compare.report import ArmResult

#: Figures that may be asked for.
FIGURES = ("psnr", "ssim", "latent_error", "speed_up", "speed_up_macs")
_WAYS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"(\w+)\s*(>=|<=|>|<)\s*([-+.\w]+)")


@dataclass(frozen=True)
class Condition:
    """One figure and what it has to be.

    Attributes
    ----------
    figure : str
        One of :data:`FIGURES`.
    way : {">=", "<=", ">", "<"}
        How it is compared.
    bound : float
        With what.
    """

    figure: str
    way: str
    bound: float

    def __str__(self) -> str:
        return f"{self.figure}{self.way}{self.bound:g}"

    def holds(self, arm: ArmResult) -> bool:
        """Whether it holds of an arm; never of a figure that was not taken."""
        value = self.value(arm)
        return value is not None and _WAYS[self.way](value, self.bound)

    def value(self, arm: ArmResult) -> float | None:
        """The figure of an arm; None where it was not timed."""
        value = getattr(arm, self.figure)
        return None if value is None else float(value)


def read_conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """Return the conditions in texts such as ``"psnr>=28 ssim>=0.95"``.

    Raises
    ------
    ValueError
        If something in them is none; the message says what may be asked.
    """
    found = []
    for text in texts:
        left = _CONDITION.sub("", text).strip(" ,")
        if left or not text.strip():
            raise ValueError(_refusal(left or text))
        for figure, way, bound in _CONDITION.findall(text):
            try:
                number = float(bound)
            except ValueError:
                raise ValueError(_refusal(f"{figure}{way}{bound}")) from None
            if figure not in FIGURES or math.isnan(number):
                raise ValueError(_refusal(f"{figure}{way}{bound}"))
            found.append(Condition(figure, way, number))
    return tuple(found)


def _refusal(text: str) -> str:
    return (
        f"assert: {text!r} is no condition; write one as psnr>=28, of {', '.join(FIGURES)} and "
        f"{', '.join(_WAYS)}"
    )


def broken(conditions: Sequence[Condition], arms: Sequence[ArmResult]) -> list[str]:
    """Say of each arm that leaves something out which conditions do not hold of it.

    Arms that are there to be compared with, fewer steps and full compute, are not judged.
    """
    judged = [arm for arm in arms if arm.arm != REFERENCE and not ARMS[arm.arm].matches]
    return [
        f"{arm.title}: {condition} does not hold, it is {_say(condition.value(arm))}"
        for arm in judged
        for condition in conditions
        if not condition.holds(arm)
    ]


def _say(value: float | None) -> str:
    return "not timed" if value is None else f"{value:.4g}"
