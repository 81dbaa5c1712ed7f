"""How near to full compute each way of saving steps stays, one setting varied at a time.

Every way computes the same number of steps, from the same noise and prompts; what is measured is
the relative error of the final latents. The rivals are full compute with fewer steps, spaced as the
scheduler does by default and in every other way that it offers.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from tracache.compare.arm import Setup
from tracache.compare.sampling import Inputs, prepare, sample
from tracache.experiments.oracle import best_plans
from tracache.experiments.records import Records
from tracache.experiments.ways import (
    BEST,
    FEWER,
    TRACACHE,
    Circumstances,
    by_plans,
    setup_of,
    ways_of,
)
from tracache.experiments.workers import batches
from tracache.models.loading import LoadedModel


@dataclass(frozen=True)
class Nearness:
    """One way at one budget, over all prompts.

    Attributes
    ----------
    circumstances : str
        Scheduler, steps and guidance.
    computed : float
        Steps' worth of blocks that computed, on the mean.
    way : str
        Which.
    error, median : float
        Mean and median over the prompts of ‖z − z_full‖ / ‖z_full‖.
    share : float
        The mean as a share of that of fewer steps, spaced by default.
    share_of_best : float
        The same of the best spacing of fewer steps.
    nearer : float
        Share of prompts on which it is nearer than fewer steps, spaced by default.
    prompts : int
        How many.
    """

    circumstances: str
    computed: float
    way: str
    error: float
    median: float
    share: float
    share_of_best: float
    nearer: float
    prompts: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(self).items()}


def measure_nearness(
    model: LoadedModel,
    prompts: Sequence[str | int],
    around: Sequence[Circumstances],
    budgets: Mapping[int, Sequence[int]],
    records: Records,
    *,
    ways: Sequence[str] = (),
    plans: Mapping[str, str] = MappingProxyType({}),
    batch: int = 16,
    progress: Callable[[], Any] = lambda: None,
) -> None:
    """Measure every way at every budget, and record an error for each prompt.

    Parameters
    ----------
    model : LoadedModel
        What runs.
    prompts : sequence of str or int
        Prompts or classes; the seed of each is its place.
    around : sequence of Circumstances
        Schedulers, guidances and steps.
    budgets : mapping of int to sequence of int
        Steps of full compute → numbers of computed steps.
    records : Records
        Where errors go, and what need not be done again.
    ways : sequence of str
        See :func:`ways_of`; all of them by default.
    plans : mapping of str to str
        Kind of calibrated plans → the file that they are in.
    batch : int, default 16
        Prompts per run.
    progress : callable
        Called after each run.
    """
    for common in around:
        known = {(r["setting"], r["index"]): r for r in records.read()}
        for part in batches(len(prompts), batch):
            start: Start | None = None
            plan: tuple[int, ...] = ()
            for computed, way in _runs(common, budgets[common.steps], ways, plans):
                setting = f"{common.name}, {computed} computed: {way}"
                done = [known[setting, i] for i in part if (setting, i) in known]
                if way in map(by_plans, plans):
                    # What an earlier file had is another way.
                    mine = _steps_of(way.removeprefix(by_plans("")), common, computed, plans)
                    done = [record for record in done if tuple(record["steps"]) == mine]
                if len(done) < len(part):
                    start = start or begin(model, prompts, part, common)
                    about = {"circumstances": common.name, "way": way, "budget": computed}
                    if way == BEST:
                        left = [i for i in part if (setting, i) not in known]
                        full = start.full[[i - part.start for i in left]]
                        others = [_steps_of(kind, common, computed, plans) for kind in plans]
                        for record in best_plans(
                            model, prompts, common, left, full, [plan, *others]
                        ):
                            records.append({"setting": setting, **record, **about})
                    else:
                        setup = setup_of(way, common, computed, plan, plans)
                        done = records_of(model, start, setup, setting, part)
                        for record in done:
                            records.append({**record, **about})
                if way == TRACACHE:
                    plan = tuple(done[0]["steps"])
                progress()


def _steps_of(
    kind: str, common: Circumstances, computed: int, plans: Mapping[str, str]
) -> tuple[int, ...]:
    """Return the steps of a calibrated plan."""
    return setup_of(by_plans(kind), common, computed, (), plans).computed_steps or ()


@dataclass(frozen=True)
class Start:
    """What all runs of a batch begin with, and full compute's end."""

    inputs: Inputs
    full: Tensor


def begin(
    model: LoadedModel, prompts: Sequence[str | int], part: Sequence[int], common: Circumstances
) -> Start:
    """Run full compute for some of the prompts, by their places."""
    chosen = [prompts[i] for i in part]
    inputs = prepare(model, chosen, part, common.guidance_scale, common.scheduler)
    return Start(inputs, sample(model, inputs, Setup(common.steps)).latents)


def records_of(
    model: LoadedModel, start: Start, setup: Setup, setting: str, part: Sequence[int]
) -> list[dict[str, Any]]:
    """Run a setup from there, and return a record for each prompt."""
    done = sample(model, start.inputs, setup)
    return [
        {"setting": setting, "index": index, "error": error, "steps": list(done.computed_steps)}
        for index, error in zip(part, errors_of(done.latents, start.full), strict=True)
    ]


def _runs(
    common: Circumstances, budgets: Sequence[int], ways: Sequence[str], plans: Collection[str]
) -> Iterator[tuple[int, str]]:
    """Every budget with every way; TraCache's own first, whose steps another borrows."""
    order = sorted(ways_of(common.scheduler, ways, plans), key=lambda way: way != TRACACHE)
    for computed in budgets:
        for way in order:
            yield computed, way


def count_nearness(
    prompts: int,
    around: Sequence[Circumstances],
    budgets: Mapping[int, Sequence[int]],
    ways: Sequence[str] = (),
    batch: int = 16,
    plans: Collection[str] = (),
) -> int:
    """How often :func:`measure_nearness` reports progress."""
    parts = len(batches(prompts, batch))
    return sum(parts * len(list(_runs(c, budgets[c.steps], ways, plans))) for c in around)


def errors_of(latents: Tensor, full: Tensor) -> list[float]:
    """‖z − z_full‖ / ‖z_full‖ of each item of a batch."""
    away = (latents.double() - full.double()).flatten(1).norm(dim=1)
    return [float(x) for x in away / full.double().flatten(1).norm(dim=1)]


def summarise(found: Sequence[Mapping[str, Any]]) -> list[Nearness]:
    """Sum records of :func:`measure_nearness` up, by circumstances, budget and way."""
    groups: dict[tuple[str, int], dict[str, dict[int, float]]] = {}
    for record in found:
        if "budget" in record:
            ways = groups.setdefault((record["circumstances"], record["budget"]), {})
            ways.setdefault(record["way"], {})[record["index"]] = record["error"]
    rows = []
    for (circumstances, computed), ways in groups.items():
        base = ways.get(FEWER, {})
        spaced = [errors for way, errors in ways.items() if way.startswith(FEWER)]
        for way, errors in ways.items():
            both = [i for i in errors if i in base]
            if not both:
                continue
            mean = statistics.fmean(errors[i] for i in both)
            best = min(
                statistics.fmean(s[i] for i in both) for s in spaced if all(i in s for i in both)
            )
            rows.append(
                Nearness(
                    circumstances,
                    computed,
                    way,
                    mean,
                    statistics.median(errors[i] for i in both),
                    mean / max(statistics.fmean(base[i] for i in both), 1e-12),
                    mean / max(best, 1e-12),
                    statistics.fmean(errors[i] < base[i] for i in both),
                    len(both),
                )
            )
    return sorted(rows, key=lambda row: (row.circumstances, row.computed, row.error))
