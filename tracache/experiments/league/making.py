"""Runs of a league: settings that are found on tuning prompts, then a record for every prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from torch import Tensor

from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, Sample, decode, prepare, sample
from tracache.experiments.league.calibration import CALIBRATED
from tracache.experiments.league.entrants import Entrant, Field
from tracache.experiments.league.search import Try, options_to_try, search, within
from tracache.experiments.nearness import errors_of
from tracache.experiments.records import Records
from tracache.experiments.ways import TRACACHE
from tracache.media import Picture, strip
from tracache.metrics.fidelity import image_quality
from tracache.models.loading import LoadedModel

#: Of the noise of tuning prompts, which no held-out one has.
TUNING_SEED = 1_000_000

#: The PSNR of two pictures that are the same, which has no number of its own: no two of eight bits
#: that differ have more.
SAME_PSNR = 100.0

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
    fixed: dict[str, Mapping[str, Any]] = {}
    for entrant in whole.entrants:
        if entrant.name in CALIBRATED:
            setting = f"tuning, {steps} steps, {entrant.name}, calibrated"
            if setting not in known:
                found = CALIBRATED[entrant.name](model, start().inputs, steps)
                known[setting] = {"setting": setting, "index": 0, "options": found}
                records.append(known[setting])
            fixed[entrant.name] = known[setting]["options"]
    whole = replace(whole, fixed=fixed)
    chosen: dict[str, Mapping[int, Try | None]] = {}
    for entrant in searched(whole):

        def run(options: dict[str, Any], entrant: Entrant = entrant) -> Try:
            about = json.dumps(options, sort_keys=True)
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
    """Return those whose settings are searched, and can be."""
    return [e for e in whole.entrants if e.is_searched and e.options]


def count_tries(whole: Field) -> int:
    """How many runs a search takes at least."""
    return sum(len(options_to_try(entrant.options)) for entrant in searched(whole))


def settings_at(whole: Field, chosen: Chosen, entrant: Entrant, budget: int) -> Try | None:
    """Return what a searched entrant was found to take; None where it stays out."""
    return chosen.get(entrant.name, {}).get(budget) if entrant.is_searched else None


def make(
    model: LoadedModel,
    whole: Field,
    subjects: Sequence[str | int],
    budgets: Sequence[int],
    chosen: Chosen,
    records: Records,
    *,
    batch: int = 32,
    progress: Heard = lambda: None,
) -> None:
    """Run everybody at every budget, and record every prompt with its picture.

    Parameters
    ----------
    model : LoadedModel
        What runs.
    whole : Field
        Who takes part, calibrated.
    subjects : sequence of str or int
        Held-out prompts or classes; the seed of each is its place.
    budgets : sequence of int
        Numbers of computed steps.
    chosen : mapping
        From :func:`tune`.
    records : Records
        Where records go, and what need not be done again.
    batch : int, default 32
        Prompts per run.
    progress : callable, optional
        Called after each run.
    """
    known = {(r["setting"], r["index"]): r for r in records.read()}
    for first in range(0, len(subjects), batch):
        part = range(first, min(first + batch, len(subjects)))
        maker = _Maker(model, whole, [subjects[i] for i in part], part, records, known)
        plan: Sequence[int] = ()
        maker.full()
        for budget, entrant in plays(whole, budgets):
            try_ = settings_at(whole, chosen, entrant, budget)
            if not (entrant.is_searched and try_ is None):
                done = maker.make(entrant, budget, {} if try_ is None else try_.options, plan)
                if entrant.name == TRACACHE:
                    plan = done[0]["which"]
            progress()


def plays(whole: Field, budgets: Sequence[int]) -> Iterator[tuple[int, Entrant]]:
    """Yield every budget with everybody."""
    for budget in budgets:
        for entrant in whole.entrants:
            yield budget, entrant


class _Maker:
    """Makes what is missing of some prompts; full compute once, if at all."""

    def __init__(
        self,
        model: LoadedModel,
        whole: Field,
        subjects: Sequence[str | int],
        part: Sequence[int],
        records: Records,
        known: dict[tuple[str, int], dict[str, Any]],
    ) -> None:
        self._model, self._whole, self._subjects = model, whole, subjects
        self._part, self._records, self._known = part, records, known
        self._start: Start | None = None
        self._pictures: list[Picture] = []

    def full(self) -> None:
        """Record the pictures of full compute, which all others are held against."""
        setting = f"{self._whole.around.steps}-full"
        if all((setting, i) in self._known for i in self._part):
            return
        self._begin()
        for picture, index in zip(self._pictures, self._part, strict=True):
            file = self._records.save(setting, index, strip(picture), "")
            self._append({"setting": setting, "index": index, "image": file})

    def make(
        self, entrant: Entrant, budget: int, options: dict[str, Any], plan: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Return an entrant's records at a budget, making them where they are missing."""
        steps = self._whole.around.steps
        setting = f"{steps}-c{budget}-{entrant.slug}"
        there = [self._known.get((setting, i)) for i in self._part]
        done = [r for r in there if r is not None and r["options"] == options]
        if len(done) == len(self._part):
            return done
        start = self._begin()
        setup = self._whole.setup(entrant, budget, options, plan)
        made = sample(self._model, start.inputs, setup)
        errors = errors_of(made.latents, start.full.latents)
        pictures = decode(self._model, start.inputs, made.latents)
        return [
            self._append(
                {
                    "setting": setting,
                    "index": index,
                    "steps": steps,
                    "budget": budget,
                    "entrant": entrant.name,
                    "options": options,
                    "error": error,
                    **self._nearness(place, picture),
                    "computed": start.computed(made),
                    "which": list(made.computed_steps),
                    "image": self._records.save(setting, index, strip(picture), ""),
                }
            )
            for place, (index, error, picture) in enumerate(
                zip(self._part, errors, pictures, strict=True)
            )
        ]

    def _begin(self) -> Start:
        if self._start is None:
            self._start = Start.of(self._model, self._whole, self._subjects, self._part)
            latents: Tensor = self._start.full.latents
            self._pictures = decode(self._model, self._start.inputs, latents)
        return self._start

    def _nearness(self, place: int, picture: Picture) -> dict[str, float]:
        quality = image_quality(picture, self._pictures[place])
        return {"psnr": min(quality.psnr, SAME_PSNR), "ssim": quality.ssim}

    def _append(self, record: dict[str, Any]) -> dict[str, Any]:
        self._records.append(record)
        self._known[record["setting"], record["index"]] = record
        return record
