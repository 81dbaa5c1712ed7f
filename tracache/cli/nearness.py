"""``python -m tracache bench --nearness``: checks the arguments, measures, prints the table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from tracache.caching.calibration import PLANS, read_calibration
from tracache.caching.checks import require_integer
from tracache.compare.arms import ARMS
from tracache.compare.output import table
from tracache.compare.report import versions
from tracache.compare.request import Request
from tracache.experiments.nearness import count_nearness, measure_nearness, summarise
from tracache.experiments.own_budget import OWN_BUDGET, measure_arms, summarise_arms
from tracache.experiments.records import Records
from tracache.experiments.subjects import HELDOUT, any_request, read_subjects
from tracache.experiments.ways import Circumstances, ways_of
from tracache.models.loading import LoadedModel
from tracache.models.registry import DEFAULT_MODEL
from tracache.models.schedulers import AS_PUBLISHED, SCHEDULERS

#: Shares of the steps that are computed unless somebody says how many.
SHARES = (1 / 4, 1 / 3, 2 / 5, 1 / 2)

#: Schedulers that only models which come with them can have.
THEIR_OWN = ("rflow", AS_PUBLISHED)


def run_nearness(args: argparse.Namespace, load: Callable[[], LoadedModel]) -> dict[str, Any]:
    """Measure how near to full compute each way stays, and return the figures for JSON.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    load : callable
        Loads the model; called once everything has been checked.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    args.model = args.model or DEFAULT_MODEL
    batch = args.batch[0]
    require_integer("batch", batch, 1, 64)
    request = any_request(args)
    around = _around(args, request)
    budgets = {c.steps: _budgets(args, c.steps) for c in around}
    plans = _plans(args, request, budgets)
    for common in around:
        # Raises for a way that there is not.
        ways_of(common.scheduler, args.ways, plans)
    prompts = read_subjects(args, HELDOUT)
    where = nullcontext(str(args.output)) if args.output else TemporaryDirectory()
    with where as folder:
        records = Records(Path(folder))
        records.begin({"model": request.model, "batch": batch, "count": len(prompts)})
        model = load()
        if args.own_budget:
            runs = len(around) * len(OWN_BUDGET) * -(-len(prompts) // batch)
            with tqdm(total=runs, unit="run") as bar:
                for common in around:
                    arms = [arm for arm in OWN_BUDGET if not ARMS[arm].refusal(request.spec)]
                    measure_arms(
                        model, prompts, common, records, arms=arms, batch=batch, progress=bar.update
                    )
            rows = summarise_arms(records.read())
        else:
            with tqdm(
                total=count_nearness(len(prompts), around, budgets, args.ways, batch, plans),
                unit="run",
            ) as bar:
                measure_nearness(
                    model,
                    prompts,
                    around,
                    budgets,
                    records,
                    ways=args.ways,
                    plans=plans,
                    batch=batch,
                    progress=bar.update,
                )
            rows = [row.to_dict() for row in summarise(records.read())]
    print(table([{k: str(v) for k, v in row.items()} for row in rows]))
    return {
        "model": request.model,
        "device": model.device_name,
        "dtype": model.dtype_name,
        "versions": versions(),
        "prompts": len(prompts),
        "batch": batch,
        "rows": rows,
    }


def _around(args: argparse.Namespace, request: Request) -> list[Circumstances]:
    """Return every number of steps, under every scheduler and guidance that is asked for."""
    spec = request.spec
    for steps in args.steps or ():
        require_integer("steps", steps, 2, spec.max_steps)
    # Also those that the model is not offered with, as its users may have them.
    flows = "rflow" in spec.schedulers
    known = [
        name for name in SCHEDULERS if name in spec.schedulers or not (flows or name in THEIR_OWN)
    ]
    for name in args.schedulers or ():
        if name not in known:
            raise ValueError(f"schedulers: {name!r} is not one of {', '.join(known)}")
    scales = [any_request(args, guidance_scale=scale).guidance_scale for scale in args.guidances]
    return [
        Circumstances(scheduler, scale, steps)
        for steps in args.steps or [request.steps]
        for scheduler in args.schedulers or [request.scheduler]
        for scale in scales or [request.guidance_scale]
    ]


def _plans(
    args: argparse.Namespace, request: Request, budgets: Mapping[int, Sequence[int]]
) -> dict[str, str]:
    """Return the calibrated plans, by kind, once they are known to be for all that is measured."""
    found: dict[str, str] = {}
    for file in args.plans:
        calibration = read_calibration(file, *PLANS)
        if calibration.what in found:
            raise ValueError(f"--plans has two files of {calibration.title}: give one of each kind")
        if args.schedulers or args.guidances:
            raise ValueError(
                "--plans are of one scheduler and guidance: leave out --schedulers and --guidances"
            )
        for steps, counts in budgets.items():
            calibration.check(replace(request.occasion(), steps=steps))
            for count in counts:
                calibration.plan(count)
        found[calibration.what] = str(file)
    return found


def _budgets(args: argparse.Namespace, steps: int) -> list[int]:
    chosen = args.budgets or sorted({max(2, round(share * steps)) for share in SHARES})
    for budget in chosen:
        require_integer("budgets", budget, 1, steps)
    return list(chosen)
