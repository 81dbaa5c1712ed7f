"""Weights fitted to recorded runs: the best linear prediction that a history allows.

Linear prediction of features from their history, learned by least squares per step, is the idea of
L2P. The columns here are the divided differences, which span the same predictions as the history
itself and are better conditioned. Fitting takes seconds once a few runs are recorded; weights hold
for the model, the scheduler and the number of steps they were fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tracache.caching.layouts import find_blocks
from tracache.caching.rules.trajectory import Trajectory

#: Added to the diagonal of the normal equations, relative to it: keeps weights small where
#: columns are nearly dependent.
RIDGE = 1e-6

#: Rows of coefficients: one per step, empty where nothing was fitted.
Weights = tuple[tuple[float, ...], ...]


@contextmanager
def record_features(denoiser: nn.Module) -> Iterator[list[Tensor]]:
    """Record the last block's output at every forward inside.

    Yields
    ------
    list of Tensor
        One per forward, float32 on the CPU.
    """
    features: list[Tensor] = []

    def keep(module: nn.Module, args: tuple, output: Tensor) -> None:
        features.append(output.detach().float().cpu())

    handle = find_blocks(denoiser)[-1].register_forward_hook(keep)
    try:
        yield features
    finally:
        handle.remove()


def fit_weights(
    runs: Sequence[Sequence[Tensor]],
    points: Sequence[float],
    full_steps: Sequence[int],
    max_order: int,
) -> Weights:
    """Fit, for every skipped step, the coefficients that predict its features best.

    Parameters
    ----------
    runs : sequence of runs
        Each the last block's output at every step, any shape but the same within a run.
    points : sequence of float
        Abscissa of every step.
    full_steps : sequence of int
        Steps that compute; the first is 0.
    max_order : int
        A prediction uses the newest ``max_order + 1`` of them.

    Returns
    -------
    tuple of tuple of float
        Per step the coefficients (c_0, c_1, …) of Σ c_n · D_n; empty at computed steps.

    Raises
    ------
    ValueError
        If there is no run, or a run is not as long as the abscissae.
    """
    if not runs or any(len(run) != len(points) for run in runs):
        raise ValueError(f"every run needs the features of all {len(points)} steps")
    rows: list[tuple[float, ...]] = []
    for step in range(len(points)):
        if step in full_steps:
            rows.append(())
            continue
        known = [full for full in full_steps if full < step][-(max_order + 1) :]
        rows.append(_fit_step(runs, points, known, step))
    return tuple(rows)


def _fit_step(
    runs: Sequence[Sequence[Tensor]], points: Sequence[float], known: Sequence[int], step: int
) -> tuple[float, ...]:
    width = len(known)
    gram = torch.zeros(width, width, dtype=torch.float64)
    target = torch.zeros(width, dtype=torch.float64)
    for run in runs:
        trajectory = Trajectory(width - 1)
        for full in known:
            trajectory.observe(points[full], run[full], spreads=False)
        columns = torch.stack([d.flatten() for d in trajectory.differences]).double()
        gram += columns @ columns.T
        target += columns @ run[step].flatten().double()
    # Differences of high degree are tiny, so columns are brought to one size first.
    size = gram.diagonal().sqrt().clamp_min(1e-30)
    scaled = gram / size[:, None] / size[None] + RIDGE * torch.eye(width, dtype=torch.float64)
    solution = torch.linalg.solve(scaled, target / size) / size
    return tuple(solution.tolist())
