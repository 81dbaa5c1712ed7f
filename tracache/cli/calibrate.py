"""``python -m tracache calibrate``: checks the arguments, measures, writes the file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from tqdm import tqdm

from tracache.caching.calibration import (
    DPCACHE,
    KINDS,
    LEMICA,
    MAGNITUDES,
    PLANS,
    TITLES,
    WEIGHTS,
    Calibration,
    Occasion,
)
from tracache.caching.checks import require_choice, require_integer
from tracache.caching.config import MAX_ORDER
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.output import table, write_json
from tracache.compare.request import Request
from tracache.experiments.calibrate import (
    learn_weights,
    measure_ratios,
    plan_least_sum,
    plan_minimax,
)
from tracache.experiments.plan_graphs import REUSE, edges_of
from tracache.experiments.records import Records
from tracache.experiments.subjects import TUNING, any_request, read_subjects
from tracache.models.loading import LoadedModel

#: Which arm reads what is calibrated, by which options.
READERS = {
    MAGNITUDES: ("mag", "--option mag.file={file}"),
    WEIGHTS: ("l2p", "--option l2p.file={file}"),
    **{kind: (TRACACHE, f"--placement {kind} --plan-file {{file}}") for kind in PLANS},
}

#: What skipped steps do where plans are measured: settings of PlannedConfig, which LeMiCa takes
#: all of and DPCache the first.
HOW = ("space", "rule", "correct")


#: The kinds, for ``--help``.
ABOUT = "; ".join(f"{kind}: {title}" for kind, title in TITLES.items())


def run_calibrate(args: argparse.Namespace, load: Callable[[], LoadedModel]) -> None:
    """Run ``calibrate`` and write what was calibrated.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    request = any_request(args, steps=args.steps)
    _check(args, request)
    prompts = read_subjects(args, TUNING)
    run = request.occasion()
    records = _records(args, prompts, run)
    model = load()
    values = _measure(args, model, prompts, run, records)
    found = Calibration(args.what, run, len(prompts), values)
    write_json(args.json, found.to_dict())
    print(f"{found.title} of {run}; prompts: {len(prompts)}")
    print(table(_rows(found)))
    option = READERS[args.what][1].format(file=args.json)
    print(f"\nwritten to {args.json}: give it as {option}")


def _check(args: argparse.Namespace, request: Request) -> None:
    require_choice("what", args.what, KINDS)
    if refusal := ARMS[READERS[args.what][0]].refusal(request.spec):
        raise ValueError(f"what: {refusal}")
    if request.steps < 2:
        raise ValueError(f"steps must be 2 or more to calibrate anything, got {request.steps}")
    require_integer("batch", args.batch, 1, 64)
    if args.compute is not None and args.what == MAGNITUDES:
        raise ValueError("compute: the magnitudes are the same for any number of computed steps")
    if args.max_order is not None and args.what != WEIGHTS:
        raise ValueError(f"max_order does not go with --what {args.what}: leave it out")
    require_integer("max_order", _highest(args), 0, MAX_ORDER)
    if args.what == LEMICA:
        # Raises where these do not go together.
        replace(REUSE, **_how(args))
    allowed = {LEMICA: HOW, DPCACHE: HOW[:1]}.get(args.what, ())
    for name in HOW:
        if getattr(args, name) is not None and name not in allowed:
            raise ValueError(f"{name} does not go with --what {args.what}: leave it out")
    for name in ("widest", "output"):
        if getattr(args, name) is not None and args.what != LEMICA:
            raise ValueError(f"{name} does not go with --what {args.what}: leave it out")
    require_integer("widest", _widest(args, request.steps), 1, request.steps - 1)
    least = -(-request.steps // (_widest(args, request.steps) + 1)) if args.what == LEMICA else 1
    for count in args.compute or ():
        require_integer("compute", count, least, request.steps)


def _how(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of skipped steps."""
    return {name: getattr(args, name) for name in HOW if getattr(args, name) is not None}


def _widest(args: argparse.Namespace, steps: int) -> int:
    """Most steps that are skipped in a row: a third of them unless somebody says."""
    return max(1, steps // 3) if args.widest is None else args.widest


def _highest(args: argparse.Namespace) -> int:
    """Of how many computed steps, and one, L2P's weights are: two unless somebody says."""
    return 2 if args.max_order is None else args.max_order


def _records(
    args: argparse.Namespace, prompts: Sequence[str | int], run: Occasion
) -> Records | None:
    """Open the folder of what LeMiCa's gaps do, and see that it is of this very measurement."""
    if args.output is None:
        return None
    records = Records(args.output)
    how = {name: getattr(replace(REUSE, **_how(args)), name) for name in HOW}
    records.begin({**asdict(run), "prompts": list(prompts), "batch": args.batch, **how})
    return records


def _measure(
    args: argparse.Namespace,
    model: LoadedModel,
    prompts: Sequence[str | int],
    run: Occasion,
    records: Records | None,
) -> dict[str, Any]:
    how = _how(args)
    widest = _widest(args, run.steps)
    edges = len(list(edges_of(run.steps, widest))) if args.what == LEMICA else 0
    with tqdm(total=-(-len(prompts) // args.batch) * (1 + edges), unit="run") as bar:
        common: dict[str, Any] = {"batch": args.batch, "progress": bar.update}
        planned = {"budgets": args.compute or (), **common}
        if args.what == LEMICA:
            config = replace(REUSE, **how)
            return plan_minimax(
                model, prompts, run, widest=widest, how=config, records=records, **planned
            )
        if args.what == DPCACHE:
            return plan_least_sum(model, prompts, run, **how, **planned)
        if args.what == MAGNITUDES:
            return measure_ratios(model, prompts, run, **common)
        budgets = args.compute or [PlannedConfig().budget(run.steps)]
        return learn_weights(
            model, prompts, run, budgets=budgets, max_order=_highest(args), **common
        )


def _rows(found: Calibration) -> list[dict[str, str]]:
    """What is printed: every step's ratio, or every plan, counted from 1."""
    if found.what == MAGNITUDES:
        return [
            {"step": str(step), "ratio": f"{ratio:.4f}"}
            for step, ratio in enumerate(found.values["ratios"], start=1)
        ]
    return [
        {"computed": count, "which": " ".join(str(step + 1) for step in plan)}
        for count, plan in found.values["plans"].items()
    ]
