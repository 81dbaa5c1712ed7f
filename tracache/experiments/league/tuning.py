"""Settings of those that decide by themselves how much they compute, found on tuning prompts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, Sample, prepare, sample
from tracache.experiments.league.calibration import CALIBRATED
from tracache.experiments.league.entrants import Entrant, Field
from tracache.experiments.league.search import Try, options_to_try, search, within
from tracache.experiments.nearness import errors_of
from tracache.experiments.records import Records
from tracache.models.loading import LoadedModel

#: Of the noise of tuning prompts, which no held-out one has.
TUNING_SEED = 1_000_000

#: For an entrant that is searched, budget → settings, or None where none comes to it.
Chosen = Mapping[str, Mapping[int, Try | None]]

Heard = Callable[[], Any]


@dataclass(frozen=True)
class Start:
    """What all runs of some prompts begin with, and what full compute makes of them."""

    inputs: Inputs
    full: Sample

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        whole: Field,
        subjects: Sequence[str | int],
        seeds: Sequence[int],
    ) -> Start:
        """Run full compute."""
        around = whole.around
        inputs = prepare(model, subjects, seeds, around.guidance_scale, around.scheduler)
        return cls(inputs, sample(model, inputs, Setup(around.steps)))

    def computed(self, done: Sample) -> float:
        """How many steps' worth of blocks computed in a run."""
        return round(done.block_calls / self.full.block_calls * self.full.num_steps, 6)


def tune(
    model: LoadedModel,
    whole: Field,
    subjects: Sequence[str | int],
    budgets: Sequence[int],
    records: Records,
    progress: Heard = lambda: None,
) -> tuple[Field, Chosen]:
    """Calibrate the arms that need that, and search settings of those that decide by themselves.

    Parameters
    ----------
    model : LoadedModel
        What runs.
    whole : Field
        Who takes part.
    subjects : sequence of str or int
        Tuning prompts or classes; all in one run.
    budgets : sequence of int
        Numbers of computed steps.
    records : Records
        Where tries go, and what need not be tried again.
    progress : callable, optional
        Called after each arm.

    Returns
    -------
    Field
        With what was calibrated.
    mapping
        What was chosen.
    """
    seeds = [TUNING_SEED + i for i in range(len(subjects))]
    known = {r["setting"]: r for r in records.read() if r["setting"].startswith("tuning")}
    started: dict[int, Start] = {}

    def start(count: int = len(subjects)) -> Start:
        if count not in started:
            started[count] = Start.of(model, whole, subjects[:count], seeds[:count])
        return started[count]

    steps = whole.around.steps
    found_for: dict[str, Mapping[str, Any]] = {}
    for entrant in whole.entrants:
        if entrant.arm in CALIBRATED and not entrant.given:
            setting = f"tuning, {steps} steps, {entrant.arm}, calibrated"
            if setting not in known:
                found = CALIBRATED[entrant.arm](model, start().inputs, steps)
                known[setting] = {"setting": setting, "index": 0, "options": found}
                records.append(known[setting])
            found_for[entrant.arm] = known[setting]["options"]
    whole = replace(whole, calibrated=found_for)
    chosen: dict[str, Mapping[int, Try | None]] = {}
    for entrant in searched(whole):

        def run(options: dict[str, Any], entrant: Entrant = entrant) -> Try:
            about = json.dumps({**entrant.given, **options}, sort_keys=True)
            setting = f"tuning, {steps} steps, {entrant.name}, {about}"
            if setting not in known:
                setup = whole.setup(entrant, steps, options)
                known[setting] = {
                    "setting": setting,
                    "index": 0,
                    "options": options,
                    **_tried(model, setup, budgets, start),
                }
                records.append(known[setting])
            record = known[setting]
            error = math.inf if record["error"] is None else float(record["error"])
            return Try(dict(record["options"]), float(record["computed"]), error)

        chosen[entrant.name] = search(run, entrant.options, budgets)
        progress()
    return whole, chosen


def _tried(
    model: LoadedModel, setup: Setup, budgets: Sequence[int], start: Callable[..., Start]
) -> dict[str, float | None]:
    """Return what a setup computes and its error; without it where it comes to no budget."""
    if setup.cache is not None and not setup.cache.decides_as_it_runs:
        # What it computes is the same for all prompts.
        one = start(1)
        computed = one.computed(sample(model, one.inputs, setup))
        if not any(within(computed, budget) for budget in budgets):
            return {"computed": computed, "error": None}
    made = sample(model, start().inputs, setup)
    error = fmean(errors_of(made.latents, start().full.latents))
    return {"computed": start().computed(made), "error": error}


def searched(whole: Field) -> list[Entrant]:
    """Return those whose settings are searched; where there are none to try, it is tried as is."""
    return [entrant for entrant in whole.entrants if entrant.is_searched]


def count_tries(whole: Field) -> int:
    """How many runs a search takes at least."""
    return sum(len(options_to_try(entrant.options)) for entrant in searched(whole))


def settings_at(whole: Field, chosen: Chosen, entrant: Entrant, budget: int) -> Try | None:
    """Return what a searched entrant was found to take; None where it stays out."""
    return chosen.get(entrant.name, {}).get(budget) if entrant.is_searched else None
