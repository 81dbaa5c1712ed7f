"""How far a job has come."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ArmProgress:
    """How far an arm has come.

    Attributes
    ----------
    arm, title : str
        Name of the arm in code and on the page.
    num_steps : int
        Steps it takes.
    computed : list of bool
        Of the steps finished, whether each left out nothing.
    elapsed_s : float
        Seconds since it began.
    reused : bool
        Whether it did not run, an earlier result being at hand.
    """

    arm: str
    title: str
    num_steps: int
    computed: list[bool] = field(default_factory=list)
    elapsed_s: float = 0.0
    reused: bool = False

    @property
    def done(self) -> int:
        """Steps finished."""
        return len(self.computed)


@dataclass
class Progress:
    """How far a job has come."""

    arms: list[ArmProgress] = field(default_factory=list)
    message: str = ""

    def where(self) -> str:
        """Say it in words."""
        if not self.arms:
            return "before the first step"
        arm = self.arms[-1]
        return f"after step {arm.done} of {arm.num_steps} of {arm.title}"
