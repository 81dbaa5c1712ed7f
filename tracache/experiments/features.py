"""What features do along a run, and what predictions along their history would have made of it.

A run with full compute is watched once; every question about schedules and orders is then answered
by replaying the method's own predictor over what was seen, so that no question costs another run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tracache.caching.clock import read_timestep
from tracache.caching.config import TraCacheConfig
from tracache.caching.discover import Arguments
from tracache.caching.layouts import find_blocks, find_parts, has_parts
from tracache.caching.rules.trajectory import Trajectory, choose_order
from tracache.caching.tail import is_feature


@dataclass
class Watched:
    """Features of a run, filled while it goes on.

    Attributes
    ----------
    timesteps : list of float
        In denoising order.
    features : dict of str to list of Tensor
        Row → its output at every step, float32, on the CPU.
    """

    timesteps: list[float] = field(default_factory=list)
    features: dict[str, list[Tensor]] = field(default_factory=dict)


def row_names(denoiser: nn.Module, blocks: Sequence[int], parts: bool) -> list[str]:
    """Return names of what can be watched: a block's number from 0, or that and a part of it.

    Parameters
    ----------
    denoiser : nn.Module
        Any that has blocks.
    blocks : sequence of int
        Numbers of blocks, from 0; negative ones count from the end.
    parts : bool
        Whether their attentions and MLPs are wanted too, as far as these are known.

    Raises
    ------
    ValueError
        If there is no such block.
    """
    count = len(find_blocks(denoiser))
    known = find_parts(denoiser) if parts and has_parts(denoiser) else [{}] * count
    names = []
    for block in blocks:
        if not -count <= block < count:
            raise ValueError(f"block: there are {count} of them, from 1 to {count}")
        number = block % count
        names += [f"{number}", *(f"{number} {part}" for part in known[number])]
    return names


@contextmanager
def watch_features(denoiser: nn.Module, rows: Sequence[str]) -> Iterator[Watched]:
    """Keep the outputs of blocks, or of parts of them, at every step of the runs inside.

    Meant for a denoiser without a cache, at one run; every row costs the size of its feature at
    every step, in main memory. Of several calls at one time, as of guidance by a second call, the
    first is kept; of several tensors of a block the largest, the last of these: the picture
    rather than the text.

    Parameters
    ----------
    denoiser : nn.Module
        Any that has blocks.
    rows : sequence of str
        From :func:`row_names`.
    """
    watched = Watched(features={row: [] for row in rows})
    arguments = Arguments(denoiser)
    # Rows that the call at hand has still to fill.
    open_rows: set[str] = set()

    def note_timestep(module: nn.Module, args: tuple, kwargs: dict) -> None:
        timestep = read_timestep(arguments.named(args, kwargs).get(arguments.time))
        open_rows.clear()
        if watched.timesteps[-1:] != [timestep]:
            watched.timesteps.append(timestep)
            open_rows.update(rows)

    def keep(row: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple, output: Any) -> None:
            tensors = [x for x in tree_leaves(output) if is_feature(x)]
            if row not in open_rows or not tensors:
                return
            open_rows.remove(row)
            largest = max(x.numel() for x in tensors)
            kept = [x for x in tensors if x.numel() == largest][-1]
            # A copy: a block may go on to write into what a part of it returned.
            watched.features[row].append(kept.detach().to("cpu", torch.float32, copy=True))

        return hook

    handles = [denoiser.register_forward_pre_hook(note_timestep, with_kwargs=True)]
    for row in rows:
        number, _, part = row.partition(" ")
        module = find_parts(denoiser)[int(number)][part] if part else None
        target = module or find_blocks(denoiser)[int(number)]
        handles.append(target.register_forward_hook(keep(row)))
    try:
        yield watched
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Replay:
    """What a method would have put in place of a feature at every step.

    Attributes
    ----------
    features : list of Tensor
        As seen at computed steps, predicted at the others.
    orders : list of int
        −1 where computed.
    """

    features: list[Tensor]
    orders: list[int]


def replay(
    timesteps: Sequence[float],
    seen: Sequence[Tensor],
    config: TraCacheConfig,
    predict_all: bool = False,
) -> Replay:
    """Predict a feature at the skipped steps from what was seen at the computed ones (Eq. 5–7).

    Parameters
    ----------
    timesteps : sequence of float
        In denoising order.
    seen : sequence of Tensor
        The feature at each of them.
    config : TraCacheConfig
        Stride, order and the rest of the settings; steps are planned, not adaptive.
    predict_all : bool, default False
        Whether to predict computed steps too, from the history before them.
    """
    planned = config.plan_steps(len(timesteps))
    if planned is None:
        raise ValueError("an adaptive stride cannot be replayed: give a whole number")
    trajectory = Trajectory(
        config.max_order,
        config.rule,
        criterion="mean" if config.criterion == "mean" else "std",
        over=config.spread,
        window=config.window,
    )
    features, orders = [], []
    for step, (t, value) in enumerate(zip(timesteps, seen, strict=True)):
        computed = step in planned
        if computed and not (predict_all and trajectory.points):
            features.append(value)
            orders.append(-1)
        else:
            order = _order(trajectory, t, config)
            features.append(trajectory.predict(t, order))
            orders.append(order)
        if computed:
            trajectory.observe(t, value)
    return Replay(features, orders)


def _order(trajectory: Trajectory, t: float, config: TraCacheConfig) -> int:
    if config.rule == "reuse" or config.max_order == 0:
        return 0
    if config.order == "fixed":
        return trajectory.order
    chosen = choose_order(trajectory.spreads, trajectory.factors(t), config.local_extrapolation)
    return int(chosen)


def interval_errors(seen: Sequence[Tensor], interval: int) -> list[float]:
    """Mean squared difference of a feature to itself so many steps before; one less per step."""
    return [
        (seen[i] - seen[i - interval]).square().mean().item() for i in range(interval, len(seen))
    ]


@dataclass(frozen=True)
class Residual:
    """How well one order foretells itself at one skipped step.

    Attributes
    ----------
    step, order : int
        Which.
    spread : float
        std(|φ_n − φ_{n−1}|), by which orders are judged (Eq. 7).
    error_below, error : float
        Root mean square errors of φ_{n−1} and of φ_n.
    rapid : bool
        Whether the feature changes faster here than in the median step of its run.
    """

    step: int
    order: int
    spread: float
    error_below: float
    error: float
    rapid: bool


def residuals(
    timesteps: Sequence[float], seen: Sequence[Tensor], stride: int, max_order: int, warmup: int = 1
) -> list[Residual]:
    """Return every order's residual and true error at every skipped step with history enough."""
    planned = TraCacheConfig(stride=stride, max_order=max_order, warmup=warmup)
    computed = set(planned.plan_steps(len(timesteps)) or ())
    speeds = change_rates(timesteps, seen)
    middle = sorted(speeds)[len(speeds) // 2]
    trajectory, found = Trajectory(max_order), []
    for step, (t, value) in enumerate(zip(timesteps, seen, strict=True)):
        if step in computed:
            trajectory.observe(t, value)
            continue
        guesses = [trajectory.predict(t, n) for n in range(trajectory.order + 1)]
        errors = [_rms(guess - value) for guess in guesses]
        for n in range(1, len(guesses)):
            spread = (guesses[n] - guesses[n - 1]).abs().std(correction=0).item()
            rapid = speeds[step - 1] > middle
            found.append(Residual(step, n, spread, errors[n - 1], errors[n], rapid))
    return found


def change_rates(timesteps: Sequence[float], seen: Sequence[Tensor]) -> list[float]:
    """Root mean square change of a feature per unit of time, from each step to the next."""
    return [
        _rms(seen[i] - seen[i - 1]) / abs(timesteps[i] - timesteps[i - 1])
        for i in range(1, len(seen))
    ]


def _rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def principal_plane(points: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[float]]:
    """Return the plane in which points vary most.

    Parameters
    ----------
    points : sequence of Tensor
        At least three, of any shape.

    Returns
    -------
    mean : Tensor [d]
        Of the points.
    axes : Tensor [2, d]
        Orthonormal; each points where most of its own weight is positive.
    shares : list of float
        Of the variance along either axis.
    """
    flat = torch.stack([p.flatten().float() for p in points])
    mean = flat.mean(0)
    _, sizes, axes = torch.linalg.svd(flat - mean, full_matrices=False)
    total = sizes.square().sum()
    axes = axes[:2] * axes[:2].sum(1, keepdim=True).sign()
    return mean, axes, (sizes[:2].square() / total).tolist()


def project(points: Sequence[Tensor], mean: Tensor, axes: Tensor) -> Tensor:
    """Coordinates [n, 2] of points in a plane of :func:`principal_plane`."""
    return torch.stack([axes @ (p.flatten().float() - mean) for p in points])
