"""Which denoising steps compute fully, and which are skipped."""

from __future__ import annotations

from collections.abc import Sequence


def computes(
    step: int,
    stride: int,
    warmup: int = 1,
    last_step: bool = False,
    num_steps: int | None = None,
    chosen: Sequence[int] | None = None,
) -> bool:
    """Whether a denoising step runs the blocks.

    Parameters
    ----------
    step : int
        Index of the step, 0 being the noisiest.
    stride : int
        Every ``stride``-th step after the warm-up computes fully.
    warmup : int, default 1
        The first ``warmup`` steps compute fully.
    last_step : bool, default False
        Compute the last step too.
    num_steps : int, optional
        Steps in the run; needed only with ``last_step``.
    chosen : sequence of int, optional
        Exactly these steps compute fully, whatever the other settings say.

    Raises
    ------
    ValueError
        If ``last_step`` is set and ``num_steps`` is not given.

    Notes
    -----
    TraCache, §4.2: full at ``i < warmup`` and where ``(i − (warmup − 1)) mod stride = 0``.
    """
    if chosen is not None:
        return step in chosen
    if last_step and num_steps is None:
        raise ValueError("last_step=True needs the number of steps: pass num_steps")
    if step < warmup or (step - (warmup - 1)) % stride == 0:
        return True
    return last_step and step == num_steps - 1  # type: ignore[operator]


def computed_steps(
    num_steps: int,
    stride: int,
    warmup: int = 1,
    last_step: bool = False,
    chosen: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Return the indices of the steps that compute fully, in denoising order."""
    return tuple(
        step
        for step in range(num_steps)
        if computes(step, stride, warmup, last_step, num_steps, chosen)
    )


def even_steps(steps: int, compute: int) -> tuple[int, ...]:
    """Exactly ``compute`` of ``steps``, evenly spaced, the first and (from 2) the last among them.

    Raises
    ------
    ValueError
        If it is not between 1 and the steps.
    """
    require_budget(steps, compute)
    if compute == 1:
        return (0,)
    return tuple((i * (steps - 1) + (compute - 1) // 2) // (compute - 1) for i in range(compute))


def remaining_steps(steps: int, compute: int, done: int = 0) -> tuple[int, ...]:
    """Return which of a run's ``steps`` last ones compute, the first always, counted from it.

    Where others have been ``done`` before, by another denoiser, those of them that computed count:
    of all steps ``compute`` do, evenly spaced on both sides.
    """
    whole = steps + done
    spent = sum(step < done for step in even_steps(whole, min(compute, whole)))
    return even_steps(steps, min(max(compute - spent, 1), steps))


def require_budget(steps: int, compute: int) -> None:
    """Raise ValueError where a run has not so many steps to compute."""
    if not 1 <= compute <= steps:
        raise ValueError(f"compute must be between 1 and the run's {steps} steps; got {compute}")
