"""Measures on tuning prompts what calibrated methods need to know of a model and its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracache.caching.calibration import Occasion
from tracache.caching.fit import fit_weights, record_features
from tracache.caching.magnitudes import mean_ratios, record_ratios
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.paths import least_sum_paths, minimax_paths
from tracache.caching.pipeline import first_denoiser
from tracache.caching.steps import even_steps
from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, prepare, sample
from tracache.experiments.plan_graphs import (
    REUSE,
    Progress,
    gap_errors,
    log_snr_of,
    prediction_costs,
)
from tracache.experiments.records import AnyRecords
from tracache.experiments.workers import batches
from tracache.models.loading import LoadedModel


def batches_of(
    model: LoadedModel, prompts: Sequence[str | int], run: Occasion, batch: int
) -> Iterator[Inputs]:
    """Yield what runs begin with, so many prompts at a time; the seed of each is its place."""
    for part in batches(len(prompts), batch):
        chosen = [prompts[i] for i in part]
        yield prepare(model, chosen, part, run.guidance_scale, run.scheduler)


def measure_ratios(
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    *,
    batch: int = 8,
    progress: Progress = lambda runs: None,
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
        Called after each run; takes how many runs were made.

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
        progress(1)
    return {"ratios": list(mean_ratios(runs))}


def learn_weights(
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    *,
    budgets: Sequence[int],
    max_order: int = 2,
    batch: int = 8,
    progress: Progress = lambda runs: None,
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
        progress(1)
    points = [float(step) for step in range(run.steps)]
    plans = {str(count): even_steps(run.steps, count) for count in budgets}
    rows = {count: fit_weights(runs, points, plan, max_order) for count, plan in plans.items()}
    return {"rows": _lists(rows), "plans": _lists(plans), "max_order": max_order}


def plan_minimax(
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    *,
    budgets: Sequence[int] = (),
    widest: int,
    how: PlannedConfig = REUSE,
    records: AnyRecords | None = None,
    batch: int = 8,
    progress: Progress = lambda runs: None,
) -> dict[str, Any]:
    """Search LeMiCa's plans: measure what each gap does to the final latents, and bound the worst.

    Parameters
    ----------
    model, prompts, run, batch, progress
        As for :func:`measure_ratios`.
    budgets : sequence of int
        For which numbers of computed steps; for all that there are paths of if empty.
    widest : int
        Most steps that are skipped in a row.
    how : PlannedConfig
        What skipped steps do; LeMiCa's reuse by default.
    records : Records, optional
        As for :func:`~tracache.experiments.plan_graphs.gap_errors`.

    Returns
    -------
    dict
        ``plans`` by number of computed steps, ``log_snr``: λ at each step, and ``measured``: how.
    """
    batches = list(batches_of(model, prompts, run, batch))
    errors = gap_errors(model, batches, run.steps, widest, how, records, progress)
    plans = minimax_paths(errors)
    told = {"space": how.space, "rule": how.rule, "look back": how.correct, "widest": widest}
    return {"plans": _chosen(plans, budgets), "log_snr": log_snr_of(model), "measured": told}


def plan_least_sum(
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    *,
    budgets: Sequence[int] = (),
    space: str = "noise",
    batch: int = 8,
    progress: Progress = lambda runs: None,
) -> dict[str, Any]:
    """Search DPCache's plans: measure how far predictions miss, and make the sum least.

    Parameters
    ----------
    model, prompts, run, budgets, batch, progress
        As for :func:`plan_minimax`.
    space : str, default "noise"
        Of what is predicted, along the line through two computed steps.

    Returns
    -------
    dict
        As :func:`plan_minimax`.
    """
    batches = list(batches_of(model, prompts, run, batch))
    plans = least_sum_paths(prediction_costs(model, batches, run.steps, space, progress))
    told = {"space": space, "rule": "line"}
    return {"plans": _chosen(plans, budgets), "log_snr": log_snr_of(model), "measured": told}


def _chosen(plans: Mapping[int, Sequence[int]], budgets: Sequence[int]) -> dict[str, list[int]]:
    return {str(n): list(plan) for n, plan in plans.items() if not budgets or n in budgets}


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
