"""A sweep that is summed up at once and not kept: ``bench --quality``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from tracache.compare.arm import REFERENCE
from tracache.compare.arms import ARMS
from tracache.compare.request import Request
from tracache.experiments.grid import (
    Setting,
    Variant,
    distinct,
    full_setting,
    run_grid,
    setting_of,
    settings_of,
    spacing_of,
)
from tracache.experiments.records import Remembered
from tracache.experiments.summary import SummaryRow, summarise
from tracache.experiments.workers import Worker
from tracache.metrics.fid import SetMeasure
from tracache.models.loading import LoadedModel
from tracache.models.presets import CUSTOM

#: What a summary and ``bench --quality`` say alike.
_ALIKE = ("full_steps", "block_calls", "macs", "psnr", "ssim", "latent_error")


@dataclass(frozen=True)
class QualityRow:
    """One arm of one request.

    Attributes
    ----------
    arm : str
        Name of the arm.
    request : Request
        That asked for it.
    summary : SummaryRow
        The means over the prompts.
    """

    arm: str
    request: Request
    summary: SummaryRow

    @property
    def distance(self) -> float | None:
        """Distance of the images as a set; None where nothing measures it."""
        return next(iter(self.summary.sets.values()), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON; the reference's infinite PSNR becomes "inf"."""
        means, request = self.summary.to_dict(), self.request
        return {
            "arm": self.arm,
            "steps": request.steps,
            "stride": spacing_of(request),
            "max_order": request.cache.max_order,
            "preset": request.preset,
            **{name: means[name] for name in _ALIKE},
            "distance": self.distance,
        }


def measure_quality(
    model: LoadedModel,
    prompts: Sequence[str | int],
    requests: Sequence[Request],
    *,
    batch: int = 1,
    measures: dict[str, SetMeasure] | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> list[QualityRow]:
    """Compare arms with full compute from the same noise, prompt by prompt.

    An arm that matches another's cost takes as many steps as that one has turned out to compute.

    Parameters
    ----------
    model : LoadedModel
        Where the transformer is.
    prompts : sequence of str or int
        In place of the requests' own; the seed of the i-th is i.
    requests : sequence of Request
        Every arm of each is a row, full compute once per number of steps. Scheduler and guidance
        scale are those of the first.
    batch : int, default 1
        Prompts per run. An order may be chosen over the whole batch; 1 is what a visitor gets.
    measures : dict, optional
        Of the images as a set, by name.
    progress : callable, optional
        Called with the number of images that have been made, or were there.
    """
    records = Remembered(pictures=bool(measures))
    known: dict[Hashable, Setting] = {}
    calls: dict[str, float] = {}

    def settle(variant: Variant, arm: str) -> Setting:
        """Return the setting of an arm, the same one where several come to the same."""
        request, computed = variant[1], None
        if request.waits(arm) and request.matched is not None:
            share = calls[settle(variant, request.matched).name]
            computed = max(1, round(share * request.steps))
        setting = setting_of(variant, arm, computed)
        return known.setdefault(setting.key, setting)

    lines = _lines(requests)
    for waiting in (False, True):
        settings = [settle(v, arm) for v, arm in lines if v[1].waits(arm) == waiting]
        run_grid(
            model,
            prompts,
            distinct([*(full_setting(s.steps) for s in settings), *settings]),
            records,
            Worker(),
            scheduler=requests[0].scheduler,
            guidance_scale=requests[0].guidance_scale,
            batch=batch,
            progress=progress,
        )
        calls |= {row.setting: row.block_calls for row in summarise(records)}
    rows = {row.setting: row for row in summarise(records, measures)}
    return [QualityRow(arm, v[1], rows[settle(v, arm).name]) for v, arm in lines]


def count_quality(num_prompts: int, requests: Sequence[Request]) -> int:
    """How many images :func:`measure_quality` will probably report."""
    lines = _lines(requests)
    again = {v[1].steps for v, arm in lines if ARMS[arm].matches}
    return num_prompts * (len(settings_of([v for v, _ in lines])) + len(again))


def _lines(requests: Sequence[Request]) -> list[tuple[Variant, str]]:
    """Every arm of every request by number of steps, full compute once for each of these."""
    found: list[tuple[Variant, str]] = []
    for steps in dict.fromkeys(request.steps for request in requests):
        same = [request for request in requests if request.steps == steps]
        found += [
            (("" if request.preset == CUSTOM else request.preset, request), arm)
            for i, request in enumerate(same)
            for arm in request.arms
            if i == 0 or arm != REFERENCE
        ]
    return found
