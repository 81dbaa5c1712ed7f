"""How near to full compute each way of saving steps stays, one setting varied at a time.

Every way computes the same number of steps, from the same noise and prompts; what is measured is
the relative error of the final latents. The rivals are full compute with fewer steps, spaced as the
scheduler does by default and in every other way that it offers.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from tracache.caching.config import TraCacheConfig
from tracache.caching.layouts import find_blocks
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arms import ARMS, Given, Setup
from tracache.compare.sampling import Inputs, prepare, sample
from tracache.experiments.records import Records
from tracache.models.loading import LoadedModel
from tracache.models.schedulers import spacings_of

#: What all others are held against: as many steps as the others compute, spaced by default.
FEWER = "fewer steps"

#: What is to be shown.
TRACACHE = "tracache"

#: Way → its configuration for a number of computed steps; each differs from the first in one thing.
PLANNED: dict[str, Callable[[int], PlannedConfig]] = {
    "tracache": PlannedConfig,
    "tracache, not looking back": lambda n: PlannedConfig(n, correct=False),
    "tracache, even steps": lambda n: PlannedConfig(n, placement="even"),
    "tracache, measured plan": lambda n: PlannedConfig(n, placement="measured"),
    "tracache, data": lambda n: PlannedConfig(n, space="data"),
    "tracache, velocity": lambda n: PlannedConfig(n, space="velocity"),
    "tracache, output": lambda n: PlannedConfig(n, space="output"),
    "tracache, line": lambda n: PlannedConfig(n, trend="line"),
    "tracache, reuse": lambda n: PlannedConfig(n, trend="reuse"),
    "noise, even, not back": lambda n: PlannedConfig(n, placement="even", correct=False),
    "data, even, not back": lambda n: PlannedConfig(
        n, space="data", placement="even", correct=False
    ),
}

#: Way → arm that takes its steps evenly, as published or without looking at the scheduler.
EVEN: dict[str, dict[str, Any]] = {
    "published": {},
    "published, modules": {"space": "modules"},
    "published, planned steps": {},
    "reuse": {"rule": "reuse"},
    "taylorseer": {"rule": "taylor", "order": "fixed"},
    "hicache": {"rule": "hermite", "order": "fixed", "abscissa": "step"},
}

#: Arms that decide by themselves how much they compute, or compute parts of a step.
OWN_BUDGET = ("teacache", "adacache", "pab", "delta-dit", "fastercache", "toca")


@dataclass(frozen=True)
class Circumstances:
    """What a table's rows have in common.

    Attributes
    ----------
    scheduler : str
        Of full compute.
    guidance_scale : float
        Of classifier-free guidance.
    steps : int
        Of full compute.
    """

    scheduler: str
    guidance_scale: float
    steps: int

    @property
    def name(self) -> str:
        """Short, for people and for records."""
        return f"{self.scheduler}, {self.steps} steps, guidance {self.guidance_scale:g}"


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


def ways_of(scheduler: str, names: Sequence[str] = ()) -> list[str]:
    """Return the ways that can be measured with a scheduler, or those of them that are named.

    Raises
    ------
    ValueError
        If a name is unknown; the message lists those there are.
    """
    fewer = [FEWER, *(f"{FEWER}, {spacing}" for spacing in spacings_of(scheduler))]
    every = [*fewer, *EVEN, *PLANNED]
    for name in names:
        if name not in every:
            raise ValueError(f"unknown way {name!r}; choose from {', '.join(every)}")
    # Another way borrows TraCache's steps.
    return (
        [*fewer, *(w for w in every[len(fewer) :] if w in (TRACACHE, *names))] if names else every
    )


def setup_of(way: str, around: Circumstances, computed: int, plan: Sequence[int]) -> Setup:
    """Return what a way does.

    Parameters
    ----------
    way : str
        As of :func:`ways_of`.
    around : Circumstances
        What it has in common with full compute.
    computed : int
        Steps that may compute.
    plan : sequence of int
        The steps that "tracache" computed.
    """
    if way.startswith(FEWER):
        spacing = way.removeprefix(FEWER).removeprefix(", ")
        return Setup(computed, scheduler=f"{around.scheduler}/{spacing}" if spacing else None)
    if way in PLANNED:
        return Setup(around.steps, PLANNED[way](computed))
    if way == "published, planned steps":
        return Setup(around.steps, TraCacheConfig(full_steps=tuple(plan)))
    return Setup(around.steps, TraCacheConfig(compute=computed, **EVEN[way]))


def measure_nearness(
    model: LoadedModel,
    prompts: Sequence[str | int],
    around: Sequence[Circumstances],
    budgets: Mapping[int, Sequence[int]],
    records: Records,
    *,
    ways: Sequence[str] = (),
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
    batch : int, default 16
        Prompts per run.
    progress : callable
        Called after each run.
    """
    for common in around:
        known = {(r["setting"], r["index"]): r for r in records.read()}
        for first in range(0, len(prompts), batch):
            part = range(first, min(first + batch, len(prompts)))
            start: _Start | None = None
            plan: tuple[int, ...] = ()
            for computed, way in _runs(common, budgets[common.steps], ways):
                setting = f"{common.name}, {computed} computed: {way}"
                done = [known[setting, i] for i in part if (setting, i) in known]
                if len(done) < len(part):
                    start = start or _begin(model, prompts, part, common)
                    setup = setup_of(way, common, computed, plan)
                    done = _records(model, start, setup, setting, part)
                    for record in done:
                        about = {"circumstances": common.name, "way": way, "budget": computed}
                        records.append({**record, **about})
                if way == TRACACHE:
                    plan = tuple(done[0]["steps"])
                progress()


@dataclass(frozen=True)
class _Start:
    """What all runs of a batch begin with, and full compute's end."""

    inputs: Inputs
    full: Tensor


def _begin(
    model: LoadedModel, prompts: Sequence[str | int], part: Sequence[int], common: Circumstances
) -> _Start:
    chosen = [prompts[i] for i in part]
    inputs = prepare(model, chosen, part, common.guidance_scale, common.scheduler)
    return _Start(inputs, sample(model, inputs, Setup(common.steps)).latents)


def _records(
    model: LoadedModel, start: _Start, setup: Setup, setting: str, part: Sequence[int]
) -> list[dict[str, Any]]:
    done = sample(model, start.inputs, setup)
    return [
        {"setting": setting, "index": index, "error": error, "steps": list(done.computed_steps)}
        for index, error in zip(part, errors_of(done.latents, start.full), strict=True)
    ]


def _runs(
    common: Circumstances, budgets: Sequence[int], ways: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """Every budget with every way; TraCache's own first, whose steps another borrows."""
    order = sorted(ways_of(common.scheduler, ways), key=lambda way: way != TRACACHE)
    for computed in budgets:
        for way in order:
            yield computed, way


def count_nearness(
    prompts: int,
    around: Sequence[Circumstances],
    budgets: Mapping[int, Sequence[int]],
    ways: Sequence[str] = (),
    batch: int = 16,
) -> int:
    """How often :func:`measure_nearness` reports progress."""
    batches = -(-prompts // batch)
    return sum(batches * len(list(_runs(c, budgets[c.steps], ways))) for c in around)


def errors_of(latents: Tensor, full: Tensor) -> list[float]:
    """‖z − z_full‖ / ‖z_full‖ of each item of a batch."""
    away = (latents.double() - full.double()).flatten(1).norm(dim=1)
    return [float(x) for x in away / full.double().flatten(1).norm(dim=1)]


def measure_arms(
    model: LoadedModel,
    prompts: Sequence[str | int],
    common: Circumstances,
    records: Records,
    *,
    arms: Sequence[str] = OWN_BUDGET,
    batch: int = 1,
    progress: Callable[[], Any] = lambda: None,
) -> None:
    """Measure arms that decide by themselves how much they compute, and "tracache" at their cost.

    Each arm runs with its defaults; "tracache" is given as many steps as the arm's block calls
    amount to, rounded down.
    """
    blocks = len(find_blocks(model.pipe.transformer))
    known = records.keys()
    for first in range(0, len(prompts), batch):
        part = range(first, min(first + batch, len(prompts)))
        start: _Start | None = None
        for arm in arms:
            setting = f"{common.name}: {arm}"
            if not all((setting, i) in known for i in part):
                start = start or _begin(model, prompts, part, common)
                guided = common.guidance_scale > 1.0
                given = Given(common.steps, TraCacheConfig(), guided=guided)
                theirs = sample(model, start.inputs, ARMS[arm].setup(given))
                computed = theirs.block_calls / blocks
                # A hair more than a whole number of steps is that number, rounded.
                budget = max(1, int(computed + 1e-6))
                setup = Setup(common.steps, PlannedConfig(budget))
                ours = _records(model, start, setup, setting, part)
                errors = errors_of(theirs.latents, start.full)
                for record, error in zip(ours, errors, strict=True):
                    about = {"circumstances": common.name, "way": arm, "computed": computed}
                    near = {"tracache": record["error"], "error": error}
                    records.append({**record, **about, **near})
            progress()


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


def summarise_arms(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum records of :func:`measure_arms` up, by circumstances and arm."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in found:
        if "tracache" in record:
            groups.setdefault((record["circumstances"], record["way"]), []).append(record)
    return [
        {
            "circumstances": circumstances,
            "arm": arm,
            "computed": round(statistics.fmean(r["computed"] for r in some), 2),
            "error": round(statistics.fmean(r["error"] for r in some), 5),
            "tracache": round(statistics.fmean(r["tracache"] for r in some), 5),
            "nearer": round(statistics.fmean(r["tracache"] < r["error"] for r in some), 4),
            "prompts": len(some),
        }
        for (circumstances, arm), some in groups.items()
    ]
