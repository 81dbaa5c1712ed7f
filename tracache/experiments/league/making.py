"""Runs of a league: a record and a picture for everybody, at every budget, of every prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tracache.compare.sampling import decode, sample
from tracache.experiments.league.entrants import Entrant, Field
from tracache.experiments.league.tuning import Chosen, Heard, Start, settings_at
from tracache.experiments.nearness import errors_of
from tracache.experiments.records import AnyRecords
from tracache.experiments.vbench import clip_title
from tracache.experiments.ways import TRACACHE
from tracache.experiments.workers import ALONE, Worker, batches
from tracache.media import Picture
from tracache.metrics.fidelity import image_quality
from tracache.models.loading import LoadedModel

#: Counted as the PSNR of two pictures that are the same, or as good as the same, in dB: means know
#: no infinity.
SAME_PSNR = 100.0


def make(
    model: LoadedModel,
    whole: Field,
    subjects: Sequence[str | int],
    budgets: Sequence[int],
    chosen: Chosen,
    records: AnyRecords,
    *,
    batch: int = 32,
    worker: Worker = ALONE,
    progress: Heard = lambda: None,
) -> None:
    """Run everybody at every budget, and record every prompt with its picture.

    Prompts are batched before they are shared out, so pictures do not depend on how many workers
    there are.

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
    worker : Worker, optional
        Whose share of the batches is made.
    progress : callable, optional
        Called after each run.
    """
    known = {(r["setting"], r["index"]): r for r in records.read()}
    for part in worker.share(batches(len(subjects), batch)):
        maker = _Maker(model, whole, subjects, part, records, known)
        plan: Sequence[int] = ()
        maker.full()
        for budget, entrant in plays(whole, budgets):
            try_ = settings_at(whole, chosen, entrant, budget)
            if not (entrant.is_searched and try_ is None):
                found = {} if try_ is None else try_.options
                # As a record has it, where a tuple is a list.
                options = json.loads(json.dumps({**entrant.given, **found}))
                done = maker.make(entrant, budget, options, plan)
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
        records: AnyRecords,
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
            self._append(
                {"setting": setting, "index": index, **self._save(setting, index, picture)}
            )

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
                    **self._save(setting, index, picture),
                }
            )
            for place, (index, error, picture) in enumerate(
                zip(self._part, errors, pictures, strict=True)
            )
        ]

    def _begin(self) -> Start:
        if self._start is None:
            subjects = [self._subjects[i] for i in self._part]
            self._start = Start.of(self._model, self._whole, subjects, self._part)
            full = self._start.full.latents
            self._pictures = decode(self._model, self._start.inputs, full)
        return self._start

    def _nearness(self, place: int, picture: Picture) -> dict[str, float]:
        quality = image_quality(picture, self._pictures[place])
        return {"psnr": min(quality.psnr, SAME_PSNR), "ssim": quality.ssim}

    def _save(self, setting: str, index: int, picture: Picture) -> dict[str, str]:
        title = clip_title(self._subjects, index)
        return {"image": self._records.save(setting, index, picture, title)}

    def _append(self, record: dict[str, Any]) -> dict[str, Any]:
        self._records.append(record)
        self._known[record["setting"], record["index"]] = record
        return record
