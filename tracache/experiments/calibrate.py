"""Measures on tuning prompts what calibrated methods need to know of a model and its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tracache.caching.calibration import Occasion
from tracache.caching.fit import fit_weights, record_features
from tracache.caching.magnitudes import mean_ratios, record_ratios
from tracache.caching.pipeline import first_denoiser
from tracache.caching.steps import even_steps
from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, prepare, sample
from tracache.models.loading import LoadedModel

#: Called after each run.
Progress = Callable[[], Any]


def batches_of(
    model: LoadedModel, prompts: Sequence[str | int], run: Occasion, batch: int
) -> Iterator[Inputs]:
    """Yield what runs begin with, so many prompts at a time; the seed of each is its place."""
    for first in range(0, len(prompts), batch):
        part = range(first, min(first + batch, len(prompts)))
        chosen = [prompts[i] for i in part]
        yield prepare(model, chosen, part, run.guidance_scale, run.scheduler)


def measure_ratios(
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    *,
    batch: int = 8,
    progress: Progress = lambda: None,
) -> dict[str, Any]:
    """Measure MagCache's ratios on full compute; see :mod:`tracache.caching.magnitudes`.

    Parameters
    ----------
    model : LoadedModel
        What runs.
    prompts : sequence of str or int
        Prompts or classes.
    run : Occasion
        Steps, scheduler and guidance.
    batch : int, default 8
        Prompts per run.
    progress : callable
        Called after each run.

    Returns
    -------
    dict
        ``ratios``: of each step the mean over the prompts.
    """
    runs: list[Sequence[float]] = []
    for inputs in batches_of(model, prompts, run, batch):
        with record_ratios(first_denoiser(model.pipe)) as ratios:
            sample(model, inputs, Setup(run.steps))
        _require_one_call(len(ratios), run.steps)
        # A mean over a batch counts for all that are in it.
        runs += [ratios] * len(inputs.seeds)
        progress()
    return {"ratios": list(mean_ratios(runs))}


def learn_weights(
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    *,
    budgets: Sequence[int],
    max_order: int = 2,
    batch: int = 8,
    progress: Progress = lambda: None,
) -> dict[str, Any]:
    """Fit L2P's weights on full compute, for evenly spaced steps; see :mod:`tracache.caching.fit`.

    The last block's output of every run is kept until the end.

    Parameters
    ----------
    model, prompts, run, batch, progress
        As for :func:`measure_ratios`.
    budgets : sequence of int
        For which numbers of computed steps.
    max_order : int, default 2
        A prediction is made of the newest ``max_order + 1`` computed steps.

    Returns
    -------
    dict
        ``rows`` and ``plans`` by number of computed steps, and ``max_order``.
    """
    runs = []
    for inputs in batches_of(model, prompts, run, batch):
        with record_features(first_denoiser(model.pipe)) as features:
            sample(model, inputs, Setup(run.steps))
        _require_one_call(len(features), run.steps)
        runs.append(features)
        progress()
    points = [float(step) for step in range(run.steps)]
    plans = {str(count): even_steps(run.steps, count) for count in budgets}
    rows = {count: fit_weights(runs, points, plan, max_order) for count, plan in plans.items()}
    return {"rows": _lists(rows), "plans": _lists(plans), "max_order": max_order}


def _lists(values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {
        name: [list(x) if isinstance(x, tuple) else x for x in value]
        for name, value in values.items()
    }


def _require_one_call(calls: int, steps: int) -> None:
    if calls != steps:
        raise ValueError(
            f"the denoiser was called {calls} times in {steps} steps: what is calibrated here is "
            "for pipelines that call one denoiser once a step"
        )
