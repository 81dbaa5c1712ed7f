"""What the scheduler's noise schedule says: coordinates to extrapolate along, weights of steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

#: (timestep, step index) → coordinate.
Abscissa = Callable[[float, int], float]

#: How latents vary, as (share, standard deviation): coarse structure, where many elements move
#: together, and fine detail.
DATA_SCALES = ((0.5, 10.0), (0.5, 0.3))

ABSCISSAE = ("timestep", "step", "log-snr", "sigma")


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
    if name not in ABSCISSAE:
        raise ValueError(f"abscissa must be one of {', '.join(ABSCISSAE)}; got {name!r}")
    sigma = noise_over_signal(scheduler, f"abscissa={name!r}")
    if name == "sigma":
        return lambda timestep, step: sigma(timestep)
    return lambda timestep, step: -math.log(sigma(timestep))


def noise_over_signal(scheduler: Any, who: str) -> Callable[[float], float]:
    """Return σ/α as a function of the timestep.

    Parameters
    ----------
    scheduler
        A diffusion scheduler with ``alphas_cumprod``, or one of rectified flow.
    who : str
        The setting that needs it, for the message.

    Raises
    ------
    ValueError
        If the scheduler is missing or has no noise schedule.
    """
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
        f"{who} needs the noise schedule: pass scheduler=…, or use "
        "tracache.accelerate(pipe, …), which takes the pipeline's"
    )


def step_weight(sigma: float, next_sigma: float, prediction: str) -> float:
    """How much a relative error of the model's output at one step moves the final latents.

    With noise over signal s, a step from s to s' adds (1 − s'/s) of the error of the denoised
    estimate. The rest of the run shrinks it: for data of scale d, what was disturbed at noise s
    ends up d/√(d² + s²) as far off, which :data:`DATA_SCALES` averages. The estimate's own error
    is σ times the output's for velocity, s times for noise.

    Parameters
    ----------
    sigma, next_sigma : float
        Noise over signal at this step and at the next; 0 after the last.
    prediction : str
        What the model predicts: ``v_prediction``, ``epsilon``, ``sample`` or ``flow``.
    """
    shrinking = sum(share * d / math.hypot(d, sigma) for share, d in DATA_SCALES)
    scale = {"epsilon": sigma, "sample": 1.0}.get(prediction, sigma / math.hypot(1.0, sigma))
    return (1.0 - next_sigma / sigma) * scale * shrinking
