"""What skipping does, measured: the graphs through which LeMiCa and DPCache search their plans."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from tracache.caching.coordinates import gaussian_noise
from tracache.caching.gap import is_pure_noise
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.caching.spaces import SPACES, Level, convert, guided_part, levels_of, prediction_of
from tracache.caching.wrapping import wrap_method
from tracache.compare.arm import Setup
from tracache.compare.preview import Glimpses
from tracache.compare.sampling import Inputs, sample
from tracache.experiments.nearness import errors_of
from tracache.experiments.records import AnyRecords, Remembered
from tracache.models.loading import LoadedModel

#: What LeMiCa does at a skipped step: repeat what the denoiser returned, and never look back.
REUSE = PlannedConfig(space=OUTPUT, rule="reuse", correct=False)

#: Called after each run; takes how many runs were made, or need not be.
Progress = Callable[[int], Any]


def edges_of(steps: int, widest: int) -> Iterator[tuple[int, int]]:
    """Yield (a, b) where the steps between computed a and b are skipped, ``widest`` at most."""
    for a in range(steps - 1):
        yield from ((a, b) for b in range(a + 2, min(a + widest + 1, steps) + 1))


def log_snr_of(model: LoadedModel) -> list[float]:
    """λ at each step of the run that a model has last made."""
    return [level.log_snr for level in levels_of(model.pipe.scheduler)]


def gap_errors(
    model: LoadedModel,
    batches: Sequence[Inputs],
    steps: int,
    widest: int,
    how: PlannedConfig = REUSE,
    records: AnyRecords | None = None,
    progress: Progress = lambda runs: None,
) -> list[list[float]]:
    """Measure what each gap alone does to the final latents, by running it (LeMiCa).

    Parameters
    ----------
    model : LoadedModel
        What runs.
    batches : sequence of Inputs
        From where.
    steps : int
        N, of the run.
    widest : int
        Most steps that are skipped in a row.
    how : PlannedConfig
        What skipped steps do.
    records : Records, optional
        Of the error of each gap by prompt, known by its seed; what they hold is not run again.
    progress : callable
        Called after each run, and for each that need not be made.

    Returns
    -------
    list of list of float, [N, N + 1]
        From step a to step b, or the end: ‖z − z_full‖ / ‖z_full‖ where only the steps between are
        skipped, the mean over the prompts; infinite where the gap is too wide.
    """
    records = Remembered(pictures=False) if records is None else records
    known = records.keys()
    settings = {edge: f"gap from {edge[0]} to {edge[1]}" for edge in edges_of(steps, widest)}
    for inputs in batches:
        missing = [
            edge
            for edge, setting in settings.items()
            if not known.issuperset((setting, seed) for seed in inputs.seeds)
        ]
        progress(len(settings) - len(missing))
        if missing:
            full = sample(model, inputs, Setup(steps)).latents
        progress(1)
        for a, b in missing:
            plan = (*range(a + 1), *range(b, steps))
            done = sample(model, inputs, Setup(steps, replace(how, full_steps=plan)))
            for seed, error in zip(inputs.seeds, errors_of(done.latents, full), strict=True):
                records.append({"setting": settings[a, b], "index": seed, "error": error})
            progress(1)
    asked = {seed for inputs in batches for seed in inputs.seeds}
    found: dict[str, list[float]] = {setting: [] for setting in settings.values()}
    for record in records.read():
        if record["index"] in asked and record["setting"] in found:
            found[record["setting"]].append(record["error"])
    return [
        [
            0.0 if b == a + 1 else fmean(found[settings[a, b]]) if (a, b) in settings else math.inf
            for b in range(steps + 1)
        ]
        for a in range(steps)
    ]


class Handed(Glimpses):
    """Keeps what a scheduler is handed at every step of a run, in one of the spaces.

    Parameters
    ----------
    space : {"noise", "data", "velocity", "output"}
        As of :class:`~tracache.methods.PlannedConfig`; "output" is as the scheduler takes it.

    Attributes
    ----------
    values : list of Tensor [batch, numbers]
        One a step, float32.
    levels : list of Level
        Of each step.
    """

    def __init__(self, space: str) -> None:
        super().__init__()
        self.space = space
        self.values: list[Tensor] = []
        self.levels: list[Level] = []

    @contextmanager
    def watch(self, scheduler: Any) -> Iterator[None]:
        """Keep what one scheduler's ``step`` is handed, for the length of the context."""
        given = prediction_of(scheduler)
        wanted = given if self.space == OUTPUT else SPACES[self.space]

        def kept(
            step: Callable[..., Any],
            model_output: Tensor,
            timestep: Any,
            sample: Tensor,
            *args: Any,
            **more: Any,
        ) -> Any:
            self.levels = levels_of(scheduler)
            level = self.levels[len(self.values)]
            value = convert(guided_part(model_output, sample), sample, level, given, wanted)
            self.values.append(value.detach().flatten(1))
            return step(model_output, timestep, sample, *args, **more)

        undo = wrap_method(scheduler, "step", kept)
        try:
            yield
        finally:
            undo()

    def grams(self) -> Tensor:
        """[batch, steps, steps]: inner products of each item's values, float64 on the CPU."""
        values = torch.stack(self.values, dim=1).double()
        return (values @ values.mT).cpu()


def prediction_costs(
    model: LoadedModel,
    batches: Sequence[Inputs],
    steps: int,
    space: str = "noise",
    progress: Progress = lambda runs: None,
) -> list[list[list[float]]]:
    """Measure how far the line through two computed steps misses those that follow (DPCache).

    All of it is of one run of full compute for each batch.

    Parameters
    ----------
    model, batches, steps, progress
        As for :func:`gap_errors`.
    space : str, default "noise"
        Of what is predicted, see :class:`Handed`.

    Returns
    -------
    list of list of list of float, [N, N, N + 1]
        As :func:`line_costs`, the mean over the prompts.
    """
    total, count = torch.zeros(steps, steps, steps + 1, dtype=torch.float64), 0
    for inputs in batches:
        handed = Handed(space)
        sample(model, inputs, Setup(steps), glimpses=handed)
        progress(1)
        if len(handed.values) != steps:
            raise ValueError(
                f"the scheduler was called {len(handed.values)} times in {steps} steps: DPCache's "
                "plans are for schedulers that take a step a call"
            )
        points = [gaussian_noise(level.log_snr) for level in handed.levels]
        # An estimate of pure noise is no point of a line, here as where the plan will run.
        pure = [is_pure_noise(level) for level in handed.levels]
        for gram in handed.grams():
            total += line_costs(gram, points, pure)
            count += 1
    return (total / count).tolist()


def line_costs(gram: Tensor, points: Sequence[float], pure: Sequence[bool]) -> Tensor:
    """How far predictions from pairs of computed steps miss the steps between j and k.

    Parameters
    ----------
    gram : Tensor [N, N]
        Inner products of the values f at all steps, float64.
    points : sequence of float
        Abscissa of every step.
    pure : sequence of bool
        Where a step is no point of a line: from it and a later one, the later one is repeated.

    Returns
    -------
    Tensor [N, N, N + 1]
        At i, j, k the sum over the steps m between j and k of ‖p_m − f_m‖ / ‖f_m‖, with p_m on the
        line through f_i and f_j; p_m = f_j where i is j. Infinite where i, j and k do not rise.
    """
    steps = len(gram)
    costs = torch.full((steps, steps, steps + 1), math.inf, dtype=torch.float64)
    size = gram.diagonal().clamp_min(1e-300)
    place = torch.tensor(points, dtype=torch.float64)
    for j in range(steps):
        later = slice(j + 1, steps)
        for i in range(j + 1):
            if i == j and j > 0:
                continue
            alone = i == j or pure[i]
            slope = 0.0 if alone else 1.0 / (points[j] - points[i])
            c = (place[later] - points[j]) * slope
            # ‖(1 + c)·f_j − c·f_i − f_m‖², multiplied out.
            square = (1 + c) ** 2 * gram[j, j] + c**2 * gram[i, i] + gram.diagonal()[later]
            square = square - 2 * (1 + c) * c * gram[i, j]
            square = square - 2 * (1 + c) * gram[j, later] + 2 * c * gram[i, later]
            missed = (square.clamp_min(0.0) / size[later]).sqrt()
            costs[i, j, j + 1] = 0.0
            costs[i, j, j + 2 :] = missed.cumsum(0)
    return costs
