"""The coordinate along which features are extrapolated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

#: (timestep, step index) → coordinate.
Abscissa = Callable[[float, int], float]

NAMES = ("timestep", "step", "log-snr", "sigma")


def make_abscissa(name: str, scheduler: Any = None) -> Abscissa:
    """Return the coordinate of that name.

    Parameters
    ----------
    name : {"timestep", "step", "log-snr", "sigma"}
        The timestep itself (TraCache, Eq. 5), the step's index, half the logarithm of the
        signal-to-noise ratio (the time of DPM-Solver), or noise over signal.
    scheduler : optional
        Knows the noise schedule; needed for the last two.

    Raises
    ------
    ValueError
        If the name is unknown, or the scheduler is missing or has no noise schedule.
    """
    if name == "timestep":
        return lambda timestep, step: timestep
    if name == "step":
        return lambda timestep, step: float(step)
    if name not in NAMES:
        raise ValueError(f"abscissa must be one of {', '.join(NAMES)}; got {name!r}")
    sigma = _noise_over_signal(name, scheduler)
    if name == "sigma":
        return lambda timestep, step: sigma(timestep)
    return lambda timestep, step: -math.log(sigma(timestep))


def _noise_over_signal(name: str, scheduler: Any) -> Callable[[float], float]:
    """σ/α as a function of the timestep."""
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is not None:
        table = [math.sqrt((1 - a) / a) for a in alphas.double().tolist()]

        def diffusion(timestep: float) -> float:
            low = min(max(int(timestep), 0), len(table) - 1)
            high = min(low + 1, len(table) - 1)
            return table[low] + (table[high] - table[low]) * min(max(timestep - low, 0.0), 1.0)

        return diffusion
    length = getattr(getattr(scheduler, "config", None), "num_train_timesteps", None)
    if length is not None and hasattr(scheduler, "sigmas"):
        # Rectified flow: the timestep is the share of noise, and the rest is signal.
        def flow(timestep: float) -> float:
            share = min(max(timestep / length, 1e-4), 1 - 1e-4)
            return share / (1 - share)

        return flow
    raise ValueError(
        f"abscissa={name!r} needs the noise schedule: pass scheduler=…, or use "
        "tracache.accelerate(pipe, …), which takes the pipeline's"
    )
