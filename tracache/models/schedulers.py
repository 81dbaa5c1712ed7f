"""The schedulers that a model may run with."""

from __future__ import annotations

import inspect
import logging
from functools import cache
from typing import Any

import diffusers
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from diffusers.utils import is_scipy_available

log = logging.getLogger(__name__)

#: The scheduler that a model came with.
AS_PUBLISHED = "as-published"

#: Name → (class, what differs from the configuration that the model came with).
SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dpm-solver++": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_type": "midpoint"},
    ),
    # DDIM and DDPM would clip their estimate of latents, which are not confined to [-1, 1].
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "deis": (DEISMultistepScheduler, {"algorithm_type": "deis", "solver_type": "logrho"}),
    "unipc": (UniPCMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "ddpm": (DDPMScheduler, {"clip_sample": False}),
    # Rectified flow; the pipeline sets how it shifts.
    "rflow": (FlowMatchEulerDiscreteScheduler, {}),
    AS_PUBLISHED: (None, {}),
}

#: How a run's steps may be spaced otherwise, where a scheduler can: Karras et al. 2022, Eq. 5;
#: evenly in log σ; a beta distribution over the timesteps (Lee et al. 2024); and where evenly
#: spaced timesteps begin and end (Lin et al. 2024).
SPACINGS: dict[str, dict[str, Any]] = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "leading": {"timestep_spacing": "leading"},
    "trailing": {"timestep_spacing": "trailing"},
    "linspace": {"timestep_spacing": "linspace"},
}


def spacings_of(name: str) -> tuple[str, ...]:
    """Return how a scheduler of that name can space its steps, besides its default.

    The beta distribution is scipy's, and so only there where that is; once, the log says so.
    """
    if SCHEDULERS[name][0] is None:
        return ()
    known = inspect.signature(SCHEDULERS[name][0].__init__).parameters
    return tuple(
        spacing
        for spacing, changes in SPACINGS.items()
        if all(key in known and known[key].default != value for key, value in changes.items())
        and (spacing != "beta" or _has_beta())
    )


@cache
def _has_beta() -> bool:
    if not is_scipy_available():
        log.warning(
            "steps spaced by a beta distribution are left out: that needs scipy, "
            "pip install 'tracache[bench]'"
        )
    return is_scipy_available()


def make_scheduler(name: str, config: Any) -> Any:
    """Return a fresh scheduler.

    Parameters
    ----------
    name : str
        A key of :data:`SCHEDULERS`; behind a slash there may be one of :data:`SPACINGS`.
    config : mapping
        Configuration of the scheduler that the model came with; ``_class_name`` is its class.
    """
    base, _, spacing = name.partition("/")
    cls, changes = SCHEDULERS[base]
    cls = getattr(diffusers, config["_class_name"]) if cls is None else cls
    return cls.from_config(config, **changes, **(SPACINGS[spacing] if spacing else {}))
