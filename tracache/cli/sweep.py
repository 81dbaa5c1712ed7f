"""``python -m tracache sweep``: checks the arguments, runs a grid, writes what it came to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tracache.caching.checks import require_integer
from tracache.caching.config import MAX_ORDER
from tracache.caching.method_config import MAX_STRIDE
from tracache.compare.output import table, write_json
from tracache.compare.request import Request
from tracache.experiments.grid import Variant, count_images, run_grid, settings_of
from tracache.experiments.output import write_figure
from tracache.experiments.records import Records
from tracache.experiments.subjects import HELDOUT, all_subjects, any_request, every_nth
from tracache.experiments.summary import (
    PairMeasure,
    SummaryRow,
    contact_sheet,
    pareto,
    show,
    summarise,
)
from tracache.experiments.vbench import ABOUT as VBENCH
from tracache.experiments.vbench import CLIPS, write_prompts
from tracache.experiments.workers import Worker
from tracache.metrics.clip_score import ClipMeasure
from tracache.metrics.fid import SetMeasure, measures_for
from tracache.metrics.lpips import LpipsMeasure
from tracache.models.loading import LoadedModel
from tracache.models.registry import find_model

MAX_COUNT = 1_000_000


def spans(text: str) -> list[int]:
    """Read ``1-6`` or ``3`` as whole numbers; for argparse.

    Raises
    ------
    ValueError
        If it is neither.
    """
    low, dash, high = text.partition("-")
    numbers = list(range(int(low), int(high if dash else low) + 1))
    if not numbers:
        raise ValueError(f"{text} is empty: the first number must not be above the second")
    return numbers


def run_sweep(
    args: argparse.Namespace,
    cache: dict[str, Any],
    options: dict[str, dict[str, Any]],
    worker: Worker,
    load: Callable[[], LoadedModel],
) -> dict[str, Any] | None:
    """Run a sweep's share of this worker; the first worker then sums up all of it.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    cache : dict
        Cache settings that were given; the model's default otherwise.
    options : dict
        The arms' own settings that were given.
    worker : Worker
        Which share of the prompts is done here.
    load : callable
        Loads the model; called once everything has been checked.

    Returns
    -------
    dict or None
        The rows, ready for JSON; None for a worker that is not the first.

    Raises
    ------
    ValueError
        If something is not allowed, or the folder holds another run; before any work starts.
    """
    spec = find_model(args.model)
    strides = [k for span in args.strides for k in span]
    asked: list[dict[str, Any]] = [{"stride": stride} for stride in strides]
    if args.compute:
        asked = [{"compute": count} for span in args.compute for count in span]
    orders = [o for span in args.orders or [[spec.cache.max_order]] for o in span]
    for stride in strides:
        require_integer("strides", stride, 1, MAX_STRIDE)
    for order in orders:
        require_integer("orders", order, 0, MAX_ORDER)
    requests = [
        any_request(
            args,
            steps=steps,
            arms=args.arms,
            options=options,
            **spacing,
            **{**cache, "max_order": order},
        )
        for steps in args.steps or [spec.steps]
        for spacing in asked
        for order in orders
    ]
    experiment = make_experiment(args, [("", request) for request in requests])
    rows = run_experiment(experiment, worker, load)
    if rows is None:
        return None
    write_figure(pareto(rows), args.output / "pareto")
    return {**experiment.header, "images": args.count, "rows": [row.to_dict() for row in rows]}


@dataclass(frozen=True)
class Experiment:
    """A grid of settings over prompts, checked, and where it is kept.

    Attributes
    ----------
    variants : list of (str, Request)
        What runs; scheduler and guidance scale are those of the first.
    subjects : list of str or int
        Prompts or classes.
    header : dict
        What must not change within the folder.
    batch : int
        Prompts per run.
    measures, pairs : dict
        Of sets of images, and of images beside full compute's.
    folder : Path
        Where it is kept.
    """

    variants: list[Variant]
    subjects: list[str | int]
    header: dict[str, Any]
    batch: int
    measures: dict[str, SetMeasure]
    pairs: dict[str, PairMeasure]
    folder: Path


def make_experiment(args: argparse.Namespace, variants: list[Variant]) -> Experiment:
    """Check what is left to check of the arguments.

    Raises
    ------
    ValueError
        If something is not allowed.
    """
    require_integer("batch", args.batch, 1, 64)
    require_integer("count", args.count, 1, MAX_COUNT)
    there, kind = all_subjects(args, HELDOUT)
    if not there:
        raise ValueError(f"there are no {kind} to take")
    # Beyond all there are, more may be asked for later: they begin again.
    header = _header(args, variants[0][1], args.count if args.count < len(there) else "all")
    measures = measures_for(args.features, find_model(args.model), args.reference)
    if args.clip is not None:
        if kind == "classes":
            raise ValueError(f"{args.model} takes classes: there are no prompts to score")
        clip = ClipMeasure(args.clip)
        measures[clip.name] = clip
    pairs: dict[str, PairMeasure] = {}
    if args.lpips is not None:
        lpips = LpipsMeasure(args.lpips)
        pairs[lpips.name] = lpips
    subjects = every_nth(there, args.count)
    return Experiment(variants, subjects, header, args.batch, measures, pairs, args.output)


def run_experiment(
    experiment: Experiment, worker: Worker, load: Callable[[], LoadedModel]
) -> list[SummaryRow] | None:
    """Do this worker's share; the first one waits for all, sums up, prints and returns the rows."""
    records = Records(experiment.folder, worker.index)
    if worker.is_main:
        records.begin(experiment.header)
    worker.wait()
    model = load()
    settings = settings_of(experiment.variants)
    first = experiment.variants[0][1]
    total = count_images(len(experiment.subjects), settings, worker, experiment.batch)
    with tqdm(total=total, unit="image", disable=not worker.is_main) as bar:
        run_grid(
            model,
            experiment.subjects,
            settings,
            records,
            worker,
            scheduler=first.scheduler,
            guidance_scale=first.guidance_scale,
            batch=experiment.batch,
            progress=bar.update,
        )
    worker.wait()
    if not worker.is_main:
        return None
    asked = {setting.name for setting in settings}
    rows = [
        row
        for row in summarise(records, experiment.measures, experiment.pairs)
        if row.setting in asked
    ]
    text = table([show(row) for row in rows])
    (experiment.folder / "table.md").write_text(text + "\n", "utf-8")
    write_json(experiment.folder / "summary.json", {"rows": [row.to_dict() for row in rows]})
    contact_sheet(records, rows).save(experiment.folder / "sheet.png", optimize=True)
    print(f"{text}\n\nwritten to {experiment.folder}")
    if (experiment.folder / CLIPS).is_dir():
        write_prompts(experiment.folder, experiment.subjects)
        print(VBENCH)
    return rows


def _header(args: argparse.Namespace, request: Request, count: int | str) -> dict[str, Any]:
    """What must not change within a folder; more strides, orders and arms may come."""
    common = {
        k: v
        for k, v in request.cache.to_dict().items()
        if k not in ("compute", "stride", "max_order")
    }
    classes = request.class_label is not None
    return {
        "model": request.model,
        "scheduler": request.scheduler,
        "guidance_scale": request.guidance_scale,
        "batch": args.batch,
        "settings": common,
        "options": request.options,
        "prompts": "classes" if classes else Path(args.prompts or HELDOUT).name,
        "count": count,
    }
