"""What every training run shares: optimisers, learning-rate budget, averaged weights, checkpoints.

Runs are resumable: all state, elapsed time included, is in one checkpoint, and the batch of a step
depends on the seed and the step alone. So a run that was cut goes on as if it had not been.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def pick_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast: on CPUs with AVX-512 it is several times faster than float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16)


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step, a function of seed and step alone (on the CPU)."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


@dataclass(frozen=True)
class Budget:
    """How long to train: by the clock or, reproducibly, by steps.

    The learning rate warms up, holds, and falls linearly to zero at the end of the budget, so the
    last weights are the best ones.

    Parameters
    ----------
    minutes : float, optional
        Wall-clock budget in minutes, earlier parts of a resumed run counted in.
    steps : int, optional
        Number of steps; takes precedence over ``minutes``.
    warmup : int, default 100
        Steps of linear warm-up.
    hold : float, default 0.3
        Share of the budget at the full rate before the fall begins.
    """

    minutes: float | None = None
    steps: int | None = None
    warmup: int = 100
    hold: float = 0.3

    def progress(self, step: int, elapsed: float) -> float:
        """Share of the budget used, 0 to 1, after ``step`` steps and ``elapsed`` seconds."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        if self.minutes is None:
            raise ValueError("a budget needs minutes or steps")
        return min(elapsed / (60.0 * self.minutes), 1.0)

    def rate(self, step: int, elapsed: float) -> float:
        """Factor on the learning rate, 0 to 1."""
        fall = (1.0 - self.progress(step, elapsed)) / (1.0 - self.hold)
        return min(1.0, fall, (step + 1) / self.warmup)


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Push all singular values of a stack of matrices (n, rows, cols) towards one.

    The quintic Newton-Schulz iteration of Muon (Jordan et al., 2024), batched: many small matrices
    of one shape cost little more than one.
    """
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for hidden matrices and convolution kernels.

    Parameters
    ----------
    params : iterable of Parameter
        Tensors of two or more dimensions; kernels are read as (out, everything else) matrices.
    lr : float, default 4e-3
        Learning rate; updates are scaled to the size Adam's have (root mean square 0.2).
    momentum : float, default 0.95
        Nesterov momentum.
    weight_decay : float, default 0.0
        Decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 4e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters, those of one shape together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, params in shapes.items():
                self._step_shape(group, shape, params)

    def _step_shape(self, group: dict, shape: torch.Size, params: list[nn.Parameter]) -> None:
        pushed = []
        for p in params:
            state = self.state[p]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(p)
            grad = p.grad if p.grad is not None else torch.zeros_like(p)
            state["momentum"].lerp_(grad, 1.0 - group["momentum"])
            pushed.append(grad.lerp(state["momentum"], group["momentum"]).flatten(1))
        updates = orthogonalise(torch.stack(pushed))
        size = 0.2 * max(updates.shape[-2:]) ** 0.5
        for p, update in zip(params, updates, strict=True):
            if group["weight_decay"]:
                p.mul_(1.0 - group["lr"] * group["weight_decay"])
            p.add_(update.view(shape), alpha=-group["lr"] * size)


class ThreadChooser:
    """Chooses between all CPU threads and one, again and again, by what is faster right now.

    On a machine shared with others, threads that wait for each other at every small operation run
    slower than a single one as soon as somebody else takes a core.

    Parameters
    ----------
    cycle : int, default 100
        Steps between two comparisons; a comparison takes four steps.
    """

    def __init__(self, cycle: int = 100) -> None:
        self.most, self.cycle, self.count = torch.get_num_threads(), cycle, 0
        self.seconds = {1: float("inf"), self.most: 0.0}  # one is first tried after a cycle
        self._tick = time.monotonic()

    def step(self) -> None:
        """Call once after every training step."""
        now = time.monotonic()
        place = self.count % self.cycle
        if place < 4:
            self.seconds[torch.get_num_threads()] += now - self._tick
        self.count, self._tick = self.count + 1, now
        if place == 3:
            torch.set_num_threads(min(self.seconds, key=lambda n: self.seconds[n]))
        elif place in (self.cycle - 1, 1):
            torch.set_num_threads(self.most if place == 1 else 1)
            if place != 1:
                self.seconds = dict.fromkeys(self.seconds, 0.0)


class Averaged:
    """An exponential moving average of a module's parameters, kept in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {n: p.detach().clone() for n, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's weights, faster in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        params = dict(module.named_parameters())
        mine = list(self.weights.values())
        theirs = [params[name].detach() for name in self.weights]
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Give the averaged weights to a module of the same kind."""
        for name, p in module.named_parameters():
            p.copy_(self.weights[name])


class Run:
    """One training run: a module, its optimisers and average, the clock, the checkpoint file.

    Parameters
    ----------
    module : nn.Module
        What is trained; all of its parameters are averaged.
    optimisers : list of Optimizer
        Their ``lr`` at construction is the peak rate.
    budget : Budget
        When to stop and how the rate falls.
    path : Path
        The checkpoint; if it is there, the run goes on from it.
    decay : float, default 0.998
        Decay of the averaged weights.
    save_every : float, default 120.0
        Seconds between checkpoints.
    """

    def __init__(
        self,
        module: nn.Module,
        optimisers: list[torch.optim.Optimizer],
        budget: Budget,
        path: Path,
        decay: float = 0.998,
        save_every: float = 120.0,
    ) -> None:
        self.module, self.optimisers, self.budget, self.path = module, optimisers, budget, path
        self.average = Averaged(module, decay)
        self.peaks = [[g["lr"] for g in o.param_groups] for o in optimisers]
        self.step, self.elapsed, self.save_every = 0, 0.0, save_every
        if path.exists():
            self._load()
        self._tick = self._saved = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether the budget is used up."""
        return self.budget.progress(self.step, self.elapsed) >= 1.0

    def update(self, loss: Tensor, clip: float | None = 1.0) -> None:
        """Backward, one optimiser step at the scheduled rate, average, count, maybe save."""
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), clip)
        rate = self.budget.rate(self.step, self.elapsed)
        for optimiser, peaks in zip(self.optimisers, self.peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(self.module, self.step)
        now = time.monotonic()
        self.elapsed += now - self._tick
        self._tick = now
        if now - self._saved > self.save_every:
            self.save()

    def save(self) -> None:
        """Write the checkpoint in one move, so that a cut leaves the old one whole."""
        state = {
            "module": self.module.state_dict(),
            "average": self.average.weights,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "elapsed": self.elapsed,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)
        self._saved = time.monotonic()

    def _load(self) -> None:
        where = next(self.module.parameters()).device
        state = torch.load(self.path, map_location=where, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.average.weights = state["average"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.elapsed = state["step"], state["elapsed"]
