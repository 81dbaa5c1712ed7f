"""Rectified flow as Open-Sora 1.2 samples it: timesteps by the size and length of the video."""

from __future__ import annotations

from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler

#: Side of the square, in pixels, for which timesteps are spaced evenly.
BASE_SIDE = 512


def time_shift(height: int, width: int, num_frames: int) -> float:
    """Return how much larger videos linger at high noise: r = √(h·w / 512²) · √(⌊frames/17⌋·5).

    The second factor counts latent frames, and is 1 for an image.

    Parameters
    ----------
    height, width : int
        Of the video, pixels.
    num_frames : int
        1 for an image.
    """
    space = (height * width / BASE_SIDE**2) ** 0.5
    latent_frames = 1 if num_frames == 1 else num_frames // 17 * 5
    return space * max(latent_frames, 1) ** 0.5


def set_timesteps(scheduler: Any, num_steps: int, shift: float, device: Any = None) -> None:
    """Space the steps of a scheduler: s = 1 − i/N, σ = r·s / (1 + (r − 1)·s), t = 1000·σ."""
    scheduler.set_shift(shift)
    scheduler.set_timesteps(sigmas=[1 - i / num_steps for i in range(num_steps)], device=device)


def make_flow_scheduler() -> Any:
    """Return the scheduler that the pipeline is shipped with."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
