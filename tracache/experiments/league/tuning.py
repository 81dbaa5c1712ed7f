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
from tracache.experiments.records import AnyRecords
from tracache.experiments.workers import ALONE, Worker, batches
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
    model: LoadedModel | None,
    whole: Field,
    subjects: Sequence[str | int],
    budgets: Sequence[int],
    records: AnyRecords,
    progress: Heard = lambda: None,
    *,
    batch: int = 32,
    worker: Worker = ALONE,
) -> tuple[Field, Chosen]:
    """Calibrate the arms that need that, and search settings of those that decide by themselves.

    Each of many workers does so for its share of the arms; what is recorded is not done again, so
    that afterwards each has it all by asking once more, alone.

    Parameters
    ----------
    model : LoadedModel or None
        What runs; none is needed where all is recorded.
    whole : Field
        Who takes part.
    subjects : sequence of str or int
        Tuning prompts or classes.
    budgets : sequence of int
        Numbers of computed steps.
    records : Records
        Where tries go, and what need not be tried again.
    progress : callable, optional
        Called after each arm.
    batch : int, default 32
        Prompts per run.
    worker : Worker, optional
        Whose share of the arms is searched.

    Returns
    -------
    Field
        With what was calibrated.
    mapping
        What was chosen.
    """
    known = {r["setting"]: r for r in records.read() if r["setting"].startswith("tuning")}
    starts = _Starts(model, whole, subjects, batch)
    mine = worker.share(searched(whole))
    steps = whole.around.steps
    found_for: dict[str, Mapping[str, Any]] = {}
    for entrant in whole.entrants:
        if entrant.arm in CALIBRATED and not entrant.given and (worker == ALONE or entrant in mine):
            setting = f"tuning, {steps} steps, {entrant.arm}, calibrated"
            if setting not in known:
                several = [one.inputs for one in starts.all()]
                found = CALIBRATED[entrant.arm](starts.model, several, steps)
                known[setting] = {"setting": setting, "index": 0, "options": found}
                records.append(known[setting])
            found_for[entrant.arm] = known[setting]["options"]
    whole = replace(whole, calibrated=found_for)
    chosen: dict[str, Mapping[int, Try | None]] = {}
    for entrant in mine:

        def run(options: dict[str, Any], entrant: Entrant = entrant) -> Try:
            about = json.dumps({**entrant.given, **options}, sort_keys=True)
            setting = f"tuning, {steps} steps, {entrant.name}, {about}"
            if setting not in known:
                setup = whole.setup(entrant, steps, options)
                known[setting] = {
                    "setting": setting,
                    "index": 0,
                    "options": options,
                    **_tried(setup, budgets, starts),
                }
                records.append(known[setting])
            record = known[setting]
            error = math.inf if record["error"] is None else float(record["error"])
            return Try(dict(record["options"]), float(record["computed"]), error)

        chosen[entrant.name] = search(run, entrant.options, budgets)
        progress()
    return whole, chosen


class _Starts:
    """Beginnings of all runs of the tuning prompts, batch by batch, made once they are needed."""

    def __init__(
        self, model: LoadedModel | None, whole: Field, subjects: Sequence[str | int], batch: int
    ) -> None:
        self._model, self._whole = model, whole
        self._subjects, self._batch = subjects, batch
        self._made: dict[range, Start] = {}

    @property
    def model(self) -> LoadedModel:
        """What runs.

        Raises
        ------
        ValueError
            If nothing does, since all was thought to be recorded.
        """
        if self._model is None:
            raise ValueError("records of the search are missing: run the same league again")
        return self._model

    def first(self) -> Start:
        """Return that of the first prompt alone."""
        return self._get(range(1))

    def all(self) -> list[Start]:
        """Return those of all prompts."""
        return [self._get(part) for part in batches(len(self._subjects), self._batch)]

    def _get(self, part: range) -> Start:
        if part not in self._made:
            subjects = [self._subjects[i] for i in part]
            seeds = [TUNING_SEED + i for i in part]
            self._made[part] = Start.of(self.model, self._whole, subjects, seeds)
        return self._made[part]


def _tried(setup: Setup, budgets: Sequence[int], starts: _Starts) -> dict[str, float | None]:
    """Return what a setup computes and its error; without it where it comes to no budget."""
    model = starts.model
    if setup.cache is not None and not setup.cache.decides_as_it_runs:
        # What it computes is the same for all prompts.
        one = starts.first()
        computed = one.computed(sample(model, one.inputs, setup))
        if not any(within(computed, budget) for budget in budgets):
            return {"computed": computed, "error": None}
    errors: list[float] = []
    counts: list[float] = []
    for start in starts.all():
        made = sample(model, start.inputs, setup)
        found = errors_of(made.latents, start.full.latents)
        errors += found
        counts += [start.computed(made)] * len(found)
    return {"computed": round(fmean(counts), 6), "error": fmean(errors)}


def searched(whole: Field) -> list[Entrant]:
    """Return those whose settings are searched; where there are none to try, it is tried as is."""
    return [entrant for entrant in whole.entrants if entrant.is_searched]


def count_tries(whole: Field) -> int:
    """How many runs a search takes at least."""
    return sum(len(options_to_try(entrant.options)) for entrant in searched(whole))


def settings_at(whole: Field, chosen: Chosen, entrant: Entrant, budget: int) -> Try | None:
    """Return what a searched entrant was found to take; None where it stays out."""
    return chosen.get(entrant.name, {}).get(budget) if entrant.is_searched else None
