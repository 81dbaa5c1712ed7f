"""One training loop for all models: budget, falling rate, averaged weights, checkpoints.

All state, elapsed time included, is in one checkpoint, and whatever is random in a step depends on
the seed and the step alone. So a run that was cut, or killed, goes on from its last checkpoint as
if it had not been.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from tracache.training.data import written_whole
from tracache.training.machine import ThreadChooser, autocast

Loss = Callable[[torch.Generator, float], Tensor]
"""The loss of one step, from its random numbers (on the CPU) and the share of the budget used."""
CHECKED = 5
"""Every so many progress lines say how the averaged weights do."""


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

    Raises
    ------
    ValueError
        If neither minutes nor steps are given, or either is not positive.
    """

    minutes: float | None = None
    steps: int | None = None
    warmup: int = 100
    hold: float = 0.3

    def __post_init__(self) -> None:
        given = [size for size in (self.minutes, self.steps) if size is not None]
        if not given or min(given) <= 0:
            raise ValueError("a budget needs minutes or steps, more than zero")

    def progress(self, step: int, elapsed: float) -> float:
        """Share of the budget used, 0 to 1, after ``step`` steps and ``elapsed`` seconds."""
        used = step / self.steps if self.steps else elapsed / (60.0 * (self.minutes or 0.0))
        return min(used, 1.0)

    def rate(self, step: int, elapsed: float) -> float:
        """Factor on the learning rate, 0 to 1."""
        fall = (1.0 - self.progress(step, elapsed)) / (1.0 - self.hold)
        return min(1.0, fall, (step + 1) / self.warmup)


@dataclass(frozen=True)
class Effort:
    """What can be said of every training run, whatever it trains.

    Parameters
    ----------
    budget : Budget
        When to stop.
    batch : int, optional
        Samples a step, instead of the model's own number.
    seed : int, default 0
        Seed of all randomness.
    from_assets : bool, default False
        Start from the committed weights, not from nothing.
    compiled : bool, default False
        Compile a transformer's blocks: half a minute to two at the start for a faster run after it.
    shared : bool, default False
        The CPU is shared with others: keep choosing the faster number of threads. Costs exact
        reproducibility, because sums then depend on the choice.
    save_every : float, default 120.0
        Seconds between checkpoints: as much as a killed run loses.
    report_every : int, default 50
        Steps between progress lines.
    """

    budget: Budget
    batch: int | None = None
    seed: int = 0
    from_assets: bool = False
    compiled: bool = False
    shared: bool = False
    save_every: float = 120.0
    report_every: int = 50


class Run:
    """What a checkpoint holds: a module, its optimisers and average, the steps and seconds so far.

    Parameters
    ----------
    module : nn.Module
        What is trained; all of its parameters are averaged.
    optimisers : list of Optimizer
        Their ``lr`` at construction is the peak rate.
    path : Path
        The checkpoint; if it is there, the run goes on from it.
    decay : float
        Decay of the averaged weights.
    """

    def __init__(
        self,
        module: nn.Module,
        optimisers: list[torch.optim.Optimizer],
        path: Path,
        decay: float,
    ) -> None:
        self.module, self.optimisers, self.path = module, optimisers, path
        self.average = EMAModel(module.parameters(), decay=decay, foreach=True)
        self.peaks = [[g["lr"] for g in o.param_groups] for o in optimisers]
        self.step, self.elapsed = 0, 0.0
        if path.exists():
            self._load()

    def update(self, loss: Tensor, rate: float, clip: float) -> None:
        """Backward, one step of the optimisers at ``rate`` times their peaks, average, count."""
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), clip)
        for optimiser, peaks in zip(self.optimisers, self.peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.average.step(self.module.parameters())
        self.step += 1

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The module with its averaged weights, out of training; afterwards as it was."""
        self.average.store(self.module.parameters())
        self.average.copy_to(self.module.parameters())
        try:
            with torch.no_grad():
                yield self.module.eval()
        finally:
            self.average.restore(self.module.parameters())
            self.module.train()

    def save(self) -> None:
        """Write the checkpoint in one move, so that a cut leaves the old one whole."""
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "elapsed": self.elapsed,
        }
        with written_whole(self.path) as file:
            torch.save(state, file)

    def _load(self) -> None:
        where = next(self.module.parameters()).device
        state = torch.load(self.path, map_location=where, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.elapsed = state["step"], state["elapsed"]


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step, a function of seed and step alone (on the CPU).

    What draws from PyTorch's own generator, as dropout does, is seeded along with it.
    """
    torch.manual_seed(seed * 1_000_003 + step)
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def fit(
    module: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    loss: Loss,
    effort: Effort,
    path: Path,
    *,
    batch: int,
    decay: float = 0.998,
    clip: float = 1.0,
    check: Callable[[nn.Module], str] | None = None,
) -> None:
    """Train until the budget is used up; afterwards the module holds its averaged weights.

    Parameters
    ----------
    module : nn.Module
        What is trained, on its device. It is left in evaluation mode.
    optimisers : list of Optimizer
        Over its parameters; their ``lr`` is the peak rate.
    loss : callable
        The loss of one step, see ``Loss``; called under bfloat16 autocast.
    effort : Effort
        Budget, seed, how often to save and to report.
    path : Path
        The checkpoint. If it is there, the run goes on from it.
    batch : int
        Samples a step, for the report.
    decay : float, default 0.998
        Decay of the averaged weights; the first steps move them faster.
    clip : float, default 1.0
        Largest norm of the gradient.
    check : callable, optional
        From the module with its averaged weights to a few words for a progress line.

    Raises
    ------
    FloatingPointError
        If a loss is not finite; the checkpoint is then one from before.
    """
    device, budget = next(module.parameters()).device, effort.budget
    run = Run(module.train(), optimisers, path, decay)
    begun = run.step
    print(f"{path.name}: begins at step {begun}, {run.elapsed:.0f}s", flush=True)
    threads = ThreadChooser() if effort.shared and device.type == "cpu" else None
    losses: list[float] = []
    tick = saved = time.monotonic()
    while (progress := budget.progress(run.step, run.elapsed)) < 1.0:
        generator = step_generator(effort.seed, run.step)
        with autocast(device):
            value = loss(generator, progress)
        run.update(value, budget.rate(run.step, run.elapsed), clip)
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(
                f"the loss of step {run.step} is {losses[-1]}; {path} is older"
            )
        now = time.monotonic()
        run.elapsed, tick = run.elapsed + now - tick, now
        if threads:
            threads.step()
        if now - saved >= effort.save_every:
            run.save()
            saved = time.monotonic()
        if run.step % effort.report_every == 0:
            checked = run.step % (CHECKED * effort.report_every) == 0
            print(_progress_line(run, losses, batch, check if checked else None), flush=True)
            losses.clear()
    if run.step > begun:
        run.save()
    run.average.copy_to(module.parameters())
    module.eval()
    report = {"steps": run.step, "samples": run.step * batch, "minutes": run.elapsed / 60}
    print(json.dumps(report), flush=True)


def _progress_line(
    run: Run, losses: list[float], batch: int, check: Callable[[nn.Module], str] | None
) -> str:
    line = (
        f"step {run.step} {run.elapsed:.0f}s loss {sum(losses) / len(losses):.4f} "
        f"{run.step * batch / run.elapsed:.1f} samples/s {torch.get_num_threads()} threads"
    )
    if check is None:
        return line
    with run.averaged() as module:
        return f"{line} {check(module)}"


def load_average(module: nn.Module, path: Path) -> dict[str, float]:
    """Give a module the averaged weights of its checkpoint; the run's figures (steps, minutes)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    average = EMAModel(module.parameters())
    average.load_state_dict(state["average"])
    average.copy_to(module.parameters())
    return {"steps": state["step"], "minutes": round(state["elapsed"] / 60, 1)}
