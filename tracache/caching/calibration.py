"""What was calibrated beforehand on some prompts, and for which runs: a small JSON file.

MagCache's ratios, LeMiCa's and DPCache's plans and L2P's weights belong to a model, its weights,
scheduler, number of steps and guidance. The file that ``python -m tracache calibrate`` writes says
all of them, so that another run is refused and not made worse in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: What can be calibrated: MagCache's ratios, LeMiCa's and DPCache's plans, L2P's weights.
MAGNITUDES, LEMICA, DPCACHE, WEIGHTS = "magnitudes", "lemica", "dpcache", "weights"
KINDS = (MAGNITUDES, LEMICA, DPCACHE, WEIGHTS)

#: Kind → what its values are, for people.
TITLES = {
    MAGNITUDES: "magnitudes",
    LEMICA: "plans of LeMiCa",
    DPCACHE: "plans of DPCache",
    WEIGHTS: "weights of L2P",
}

#: How far values of λ may be apart that are called the same.
SAME = 1e-3

#: Those that are plans: which steps compute, for each number of them.
PLANS = (LEMICA, DPCACHE)


@dataclass(frozen=True)
class Occasion:
    """What a run is of, as far as what was calibrated may depend on it.

    Attributes
    ----------
    model : str
        A key of the registry, or whatever names it.
    weights : str
        SHA-256 of the transformer's; empty where nobody has taken it.
    scheduler : str
        Its name.
    steps : int
        Denoising steps.
    guidance_scale : float
        Of classifier-free guidance.
    """

    model: str
    weights: str
    scheduler: str
    steps: int
    guidance_scale: float

    def __str__(self) -> str:
        return (
            f"{self.steps} steps of {self.scheduler} at guidance {self.guidance_scale:g} "
            f"on {self.model}"
        )


@dataclass(frozen=True)
class Calibration:
    """What was calibrated, and for which runs.

    Attributes
    ----------
    what : {"magnitudes", "lemica", "dpcache", "weights"}
        Of what kind the values are.
    occasion : Occasion
        What it was measured on, and is for.
    prompts : int
        How many prompts it was measured on.
    values : mapping
        ``ratios`` of magnitudes; of plans ``plans``, by number of computed steps, ``log_snr``, λ at
        each step, and ``measured``, how; of weights ``rows`` by number of computed steps, ``plans``
        and ``max_order``.
    """

    what: str
    occasion: Occasion
    prompts: int
    values: Mapping[str, Any]

    @property
    def title(self) -> str:
        """What the values are, for people."""
        return TITLES[self.what]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        about = asdict(self.occasion)
        return {"calibrated": self.what, **about, "prompts": self.prompts, **self.values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not that.
        """
        rest = dict(data)
        what, prompts = rest.pop("calibrated"), int(rest.pop("prompts"))
        if what not in KINDS:
            raise ValueError(f"nothing is calibrated as {what!r}")
        occasion = Occasion(
            str(rest.pop("model")),
            str(rest.pop("weights")),
            str(rest.pop("scheduler")),
            int(rest.pop("steps")),
            float(rest.pop("guidance_scale")),
        )
        return cls(what, occasion, prompts, rest)

    def plan(self, compute: int) -> tuple[int, ...]:
        """Return which steps compute, where so many do.

        Raises
        ------
        ValueError
            If that many were not planned for; the message says which were.
        """
        if compute >= self.occasion.steps:
            return tuple(range(self.occasion.steps))
        steps = self.values["plans"].get(str(compute))
        if steps is None:
            there = ", ".join(self.values["plans"])
            raise ValueError(
                f"there is no calibrated plan of {compute} computed steps, only of {there}: "
                f"calibrate with --compute {compute}"
            )
        return tuple(steps)

    def check_steps(self, steps: int) -> None:
        """Raise ValueError where it is not for runs of so many steps."""
        if steps != self.occasion.steps:
            raise ValueError(
                f"the calibrated {self.title} are for {self.occasion.steps} steps, not {steps}: "
                f"run python -m tracache calibrate --what {self.what} --steps {steps}"
            )

    def check_schedule(self, log_snr: Sequence[float]) -> None:
        """Raise ValueError where it is for other values of λ than a run's, as far as it says."""
        mine = self.values.get("log_snr", log_snr)
        same = len(mine) == len(log_snr)
        if not same or any(abs(x - y) > SAME for x, y in zip(mine, log_snr, strict=True)):
            raise ValueError(
                f"the calibrated {self.title} are for another noise schedule, that of "
                f"{self.occasion}: run python -m tracache calibrate --what {self.what} with the "
                "scheduler and steps of this run"
            )

    def check(self, run: Occasion) -> None:
        """Raise ValueError where it is not for a run; unknown weights may be any."""
        mine = self.occasion
        here = Occasion(**{**asdict(run), "weights": ""})
        if Occasion(**{**asdict(mine), "weights": ""}) != here:
            raise ValueError(
                f"the calibrated {self.title} are for {mine}, not for {run}: run python -m "
                f"tracache calibrate --what {self.what} --model {run.model} "
                f"--scheduler {run.scheduler} --steps {run.steps} "
                f"--guidance-scale {run.guidance_scale:g}"
            )
        if mine.weights and run.weights and mine.weights != run.weights:
            raise ValueError(
                f"the calibrated {self.title} are of other weights of {run.model} than those that "
                f"are here: run python -m tracache calibrate --what {self.what} again"
            )


def read_calibration(path: str | Path, *kinds: str) -> Calibration:
    """Read what :mod:`tracache.cli.calibrate` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    *kinds : str
        What may be in it, of :data:`KINDS`.

    Raises
    ------
    ValueError
        If it is no such file, or something else is in it.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        found = Calibration.from_dict(json.loads(path.read_text("utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path.name} is no file that python -m tracache calibrate has written"
        ) from None
    if found.what not in kinds:
        wanted = " or ".join(TITLES[kind] for kind in kinds)
        raise ValueError(
            f"{path.name} holds {found.title}, not {wanted}: calibrate with --what {kinds[0]}"
        )
    _check_values(found, path.name)
    return found


def read_plans(placement: str, file: str) -> Calibration | None:
    """Return the plans that a placement goes by; None where it goes by none.

    Parameters
    ----------
    placement : str
        Its name.
    file : str
        Where the plans are; empty where nobody has said.

    Raises
    ------
    ValueError
        If a placement by plans has no file, another has one, or something else is in it.
    OSError
        If it cannot be read.
    """
    if placement in PLANS and not file:
        raise ValueError(
            f"placement {placement!r} needs {TITLES[placement]} calibrated for the model: make "
            f"them with python -m tracache calibrate --what {placement}, and give the file as "
            "plan_file"
        )
    if file and placement not in PLANS:
        raise ValueError(f"plan_file goes with placement {' or '.join(PLANS)}, not {placement!r}")
    return read_calibration(file, placement) if file else None


def _check_values(found: Calibration, name: str) -> None:
    """Raise ValueError where the values are not what they should be."""
    steps = found.occasion.steps
    if found.what == MAGNITUDES:
        ratios = found.values.get("ratios")
        if not isinstance(ratios, list) or len(ratios) != steps:
            raise ValueError(f"{name} should hold a ratio for each of its {steps} steps")
        return
    plans = found.values.get("plans")
    if not isinstance(plans, dict) or not plans:
        raise ValueError(f"{name} holds no plans")
    for count, plan in plans.items():
        whole = isinstance(plan, list) and all(type(step) is int for step in plan)
        if not whole or plan != sorted(set(plan)) or str(len(plan)) != count or plan[0] != 0:
            raise ValueError(f"{name}: the plan of {count} computed steps is none")
        if plan[-1] >= steps:
            raise ValueError(f"{name}: the plan of {count} goes beyond its {steps} steps")
