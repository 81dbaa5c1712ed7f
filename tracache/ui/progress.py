"""How far a job has come."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Stages that come once every arm has run, as :class:`tracache.compare.events.Stage` names them.
AFTER_PICTURES = {"timing": "while timing", "trace": "while drawing the orders"}


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
    """How far a job has come; ``stage`` is the name of what is done between the arms, if it is."""

    arms: list[ArmProgress] = field(default_factory=list)
    message: str = ""
    stage: str = ""

    def where(self) -> str:
        """Say it in words."""
        if self.stage in AFTER_PICTURES:
            return f"{AFTER_PICTURES[self.stage]}, when every picture was done"
        if not self.arms:
            return "before the first step"
        arm = self.arms[-1]
        return f"after step {arm.done} of {arm.num_steps} of {arm.title}"
