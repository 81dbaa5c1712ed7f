"""The schedulers that a model may run with."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
)

#: Name → (class, what differs from the configuration that the model came with).
SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dpm-solver++": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_type": "midpoint"},
    ),
    # DDIM and DDPM would clip their estimate of latents, which are not confined to [-1, 1].
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "deis": (DEISMultistepScheduler, {"algorithm_type": "deis", "solver_type": "logrho"}),
    "ddpm": (DDPMScheduler, {"clip_sample": False}),
    # Rectified flow; the pipeline sets how it shifts.
    "rflow": (FlowMatchEulerDiscreteScheduler, {}),
}


def make_scheduler(name: str, config: Any) -> Any:
    """Return a fresh scheduler.

    Parameters
    ----------
    name : str
        A key of :data:`SCHEDULERS`.
    config : mapping
        Configuration of the scheduler that the model came with.
    """
    cls, changes = SCHEDULERS[name]
    return cls.from_config(config, **changes)
