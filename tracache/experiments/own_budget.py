"""How near "tracache" stays at the cost of arms that decide by themselves how much they compute."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.caching.layouts import find_blocks
from tracache.caching.methods.planned import PlannedConfig
from tracache.caching.pipeline import first_denoiser
from tracache.compare.arm import Given, Setup
from tracache.compare.arms import ARMS
from tracache.compare.sampling import sample
from tracache.experiments.nearness import Start, begin, errors_of, records_of
from tracache.experiments.records import Records
from tracache.experiments.ways import Circumstances
from tracache.experiments.workers import batches
from tracache.models.loading import LoadedModel

#: Arms that decide by themselves how much they compute, or compute parts of a step.
OWN_BUDGET = ("teacache", "adacache", "pab", "delta-dit", "fastercache", "toca")


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
    blocks = len(find_blocks(first_denoiser(model.pipe)))
    known = records.keys()
    for part in batches(len(prompts), batch):
        start: Start | None = None
        for arm in arms:
            setting = f"{common.name}: {arm}"
            if not all((setting, i) in known for i in part):
                start = start or begin(model, prompts, part, common)
                guided = common.guidance_scale > 1.0
                given = Given(common.steps, TraCacheConfig(), guided=guided)
                theirs = sample(model, start.inputs, ARMS[arm].setup(given))
                computed = theirs.block_calls / blocks
                # A hair more than a whole number of steps is that number, rounded.
                budget = max(1, int(computed + 1e-6))
                setup = Setup(common.steps, PlannedConfig(budget))
                ours = records_of(model, start, setup, setting, part)
                errors = errors_of(theirs.latents, start.full)
                for record, error in zip(ours, errors, strict=True):
                    about = {"circumstances": common.name, "way": arm, "computed": computed}
                    near = {"tracache": record["error"], "error": error}
                    records.append({**record, **about, **near})
            progress()


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
