"""``python -m tracache sweep``: checks the arguments, runs a grid, writes what it came to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tracache.config import MAX_ORDER, MAX_STRIDE, require_integer
from tracache.experiments.grid import count_images, run_grid, settings_of
from tracache.experiments.records import Records
from tracache.experiments.summary import (
    SummaryRow,
    contact_sheet,
    pareto,
    show,
    summarise,
    write_figure,
)
from tracache.experiments.workers import Worker
from tracache.measure.sets import measures_for
from tracache.models.loading import LoadedModel
from tracache.models.registry import find_model
from tracache.request import Request, make_request
from tracache.subjects import all_subjects, any_subject, every_nth
from tracache.text import table, write_json

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
    orders = [o for span in args.orders or [[spec.cache.max_order]] for o in span]
    for stride in strides:
        require_integer("strides", stride, 1, MAX_STRIDE)
    for order in orders:
        require_integer("orders", order, 0, MAX_ORDER)
    require_integer("batch", args.batch, 1, 64)
    requests = [
        make_request(
            args.model,
            **any_subject(args.model),
            seed=0,
            steps=steps,
            guidance_scale=args.guidance_scale,
            scheduler=args.scheduler,
            arms=args.arms,
            options=options,
            stride=stride,
            **{**cache, "max_order": order},
        )
        for steps in args.steps or [spec.steps]
        for stride in strides
        for order in orders
    ]
    require_integer("count", args.count, 1, MAX_COUNT)
    there, kind = all_subjects(args, "heldout.txt")
    if not there:
        raise ValueError(f"there are no {kind} to take")
    subjects = every_nth(there, args.count)
    # Beyond all there are, more may be asked for later: they begin again.
    header = _header(args, requests[0], args.count if args.count < len(there) else "all")
    measures = measures_for(args.features, spec, args.reference)
    records = Records(args.output, worker.index)
    if worker.is_main:
        records.begin(header)
    worker.wait()
    model = load()
    settings = settings_of(requests)
    total = count_images(len(subjects), settings, worker, args.batch)
    with tqdm(total=total, unit="image", disable=not worker.is_main) as bar:
        run_grid(
            model,
            subjects,
            settings,
            records,
            worker,
            scheduler=requests[0].scheduler,
            guidance_scale=requests[0].guidance_scale,
            batch=args.batch,
            progress=bar.update,
        )
    worker.wait()
    if not worker.is_main:
        return None
    asked = {setting.name for setting in settings}
    rows = [row for row in summarise(records, measures) if row.setting in asked]
    _write(records, rows, args.output)
    print(table([show(row) for row in rows]))
    print(f"\nwritten to {args.output}")
    return {**header, "images": args.count, "rows": [row.to_dict() for row in rows]}


def _header(args: argparse.Namespace, request: Request, count: int | str) -> dict[str, Any]:
    """What must not change within a folder; more strides, orders and arms may come."""
    common = {k: v for k, v in request.cache.to_dict().items() if k not in ("stride", "max_order")}
    classes = request.class_label is not None
    return {
        "model": request.model,
        "scheduler": request.scheduler,
        "guidance_scale": request.guidance_scale,
        "batch": args.batch,
        "settings": common,
        "options": request.options,
        "prompts": "classes" if classes else Path(args.prompts or "heldout.txt").name,
        "count": count,
    }


def _write(records: Records, rows: list[SummaryRow], folder: Path) -> None:
    (folder / "table.md").write_text(table([show(row) for row in rows]) + "\n", "utf-8")
    write_json(folder / "summary.json", {"rows": [row.to_dict() for row in rows]})
    write_figure(pareto(rows), folder / "pareto.html")
    contact_sheet(records, rows).save(folder / "sheet.png", optimize=True)
