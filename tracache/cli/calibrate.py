"""``python -m tracache calibrate``: checks the arguments, measures, writes the file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from tracache.caching.calibration import KINDS, MAGNITUDES, TITLES, WEIGHTS, Calibration, Occasion
from tracache.caching.checks import require_choice, require_integer
from tracache.caching.config import MAX_ORDER
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arms import ARMS
from tracache.compare.output import table, write_json
from tracache.compare.request import Request, make_request
from tracache.experiments.calibrate import learn_weights, measure_ratios
from tracache.experiments.subjects import any_subject, read_subjects
from tracache.models.loading import LoadedModel

#: Which arm reads what is calibrated.
READERS = {MAGNITUDES: "mag", WEIGHTS: "l2p"}


#: The kinds, for ``--help``.
ABOUT = "; ".join(f"{kind}: {title}" for kind, title in TITLES.items())


def run_calibrate(args: argparse.Namespace, load: Callable[[], LoadedModel]) -> None:
    """Run ``calibrate`` and write what was calibrated.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    request = make_request(
        args.model,
        **any_subject(args.model),
        seed=0,
        steps=args.steps,
        guidance_scale=args.guidance_scale,
        scheduler=args.scheduler,
    )
    _check(args, request)
    prompts = read_subjects(args, "tuning.txt")
    run = request.occasion()
    model = load()
    values = _measure(args, model, prompts, run)
    found = Calibration(args.what, run, len(prompts), values)
    write_json(args.json, found.to_dict())
    print(f"{found.title} of {run}, of {len(prompts)} prompts:")
    print(table(_rows(found)))
    arm = READERS[args.what]
    print(f"\nwritten to {args.json}: give it as --option {arm}.file={args.json}")


def _check(args: argparse.Namespace, request: Request) -> None:
    require_choice("what", args.what, KINDS)
    if refusal := ARMS[READERS[args.what]].refusal(request.spec):
        raise ValueError(f"what: {refusal}")
    if request.steps < 2:
        raise ValueError(f"steps must be 2 or more to calibrate anything, got {request.steps}")
    require_integer("batch", args.batch, 1, 64)
    require_integer("max_order", args.max_order, 0, MAX_ORDER)
    if args.compute is not None and args.what == MAGNITUDES:
        raise ValueError("compute: the magnitudes are the same for any number of computed steps")
    for count in args.compute or ():
        require_integer("compute", count, 1, request.steps)


def _measure(
    args: argparse.Namespace, model: LoadedModel, prompts: Sequence[str | int], run: Occasion
) -> dict[str, Any]:
    with tqdm(total=-(-len(prompts) // args.batch), unit="run") as bar:
        common: dict[str, Any] = {"batch": args.batch, "progress": bar.update}
        if args.what == MAGNITUDES:
            return measure_ratios(model, prompts, run, **common)
        budgets = args.compute or [PlannedConfig().budget(run.steps)]
        return learn_weights(
            model, prompts, run, budgets=budgets, max_order=args.max_order, **common
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
