"""``python -m tracache analyse``: checks the arguments, asks one question, writes its answer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tracache.caching.checks import require_integer
from tracache.caching.config import MAX_ORDER
from tracache.caching.layouts import find_blocks
from tracache.caching.method_config import MAX_STRIDE
from tracache.caching.pipeline import first_denoiser
from tracache.cli.sweep import make_experiment, run_experiment
from tracache.compare.output import table
from tracache.compare.request import make_request
from tracache.experiments.output import write_csv, write_figure
from tracache.experiments.questions import QUESTIONS, Ask, draw
from tracache.experiments.subjects import HELDOUT, all_subjects
from tracache.experiments.watching import foresight, intervals, trajectories, watch
from tracache.experiments.workers import Worker
from tracache.models.loading import LoadedModel
from tracache.models.registry import find_model

WATCHING = {
    "trajectories": "paths of features in their principal plane (Fig. 2c, 4, 9)",
    "intervals": "how far features are from themselves some steps before (Table 5)",
    "foresight": "what the spread says of an order, and what it is worth (Fig. 7)",
}


def run_watching(args: argparse.Namespace, load: Callable[[], LoadedModel]) -> dict[str, Any]:
    """Answer a question of ``WATCHING`` from one run, and return the rows, ready for JSON.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    spec = find_model(args.model)
    for name, value, most in (
        ("stride", args.stride, MAX_STRIDE),
        ("order", args.order, MAX_ORDER),
    ):
        require_integer(name, value, 1, most)
    require_integer("block", args.block, -1000, 1000)
    require_integer("most", args.most, 1, 50)
    if args.block == 0:
        raise ValueError("block counts from 1; negative numbers count from the last one")
    subject: dict[str, Any] = {"prompt": args.prompt, "class_label": args.class_label}
    if args.prompt is None and args.class_label is None:
        args.prompts = None
        first = all_subjects(args, HELDOUT)[0][0]
        subject = {"class_label" if spec.task == "class-to-image" else "prompt": first}
    request = make_request(
        args.model,
        **subject,
        seed=args.seed,
        steps=args.steps,
        guidance_scale=args.guidance_scale,
        scheduler=args.scheduler,
        stride=args.stride,
        max_order=args.order,
    )
    model = load()
    block = args.block - 1 if args.block > 0 else args.block
    count = len(find_blocks(first_denoiser(model.pipe)))
    if not -count <= block < count:
        raise ValueError(
            f"block must be from 1 to {count}, or from the last one, -1; got {args.block}"
        )
    watched = watch(model, request, [block], parts=args.question == "trajectories")
    # A replayed run has no images, so its last step need not be like full compute's.
    config = replace(request.cache, last_step=False)
    answers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "trajectories": partial(trajectories, watched, config, args.output),
        "intervals": partial(intervals, watched, args.most, args.output),
        "foresight": partial(foresight, watched, config, args.output),
    }
    rows = answers[args.question]()
    if args.question != "intervals":
        print(table([_cells(row) for row in rows]))
    print(f"\nwritten to {args.output}")
    return {
        "question": args.question,
        "model": args.model,
        "request": request.subject,
        "rows": rows,
    }


def run_comparing(
    args: argparse.Namespace, worker: Worker, load: Callable[[], LoadedModel]
) -> dict[str, Any] | None:
    """Answer a question of ``QUESTIONS`` from a grid; see ``run_sweep`` for the rest.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    question, spec = QUESTIONS[args.question], find_model(args.model)
    strides = [k for span in args.strides or [question.strides] for k in span]
    orders = [o for span in args.orders or [question.orders] for o in span]
    for stride in strides:
        require_integer("strides", stride, 1, MAX_STRIDE)
    for order in orders:
        require_integer("orders", order, 0, MAX_ORDER)
    subject = {"class_label": 0} if spec.task == "class-to-image" else {"prompt": "any prompt"}
    ask: Ask = partial(
        make_request,
        args.model,
        **subject,
        seed=0,
        steps=args.steps or question.steps,
        guidance_scale=args.guidance_scale,
        scheduler=args.scheduler or question.scheduler,
    )
    experiment = make_experiment(args, question.variants(ask, strides, orders))
    rows = run_experiment(experiment, worker, load)
    if rows is None:
        return None
    write_figure(draw(question, rows), args.output / args.question)
    lines = [{**row.to_dict(), **row.sets} for row in rows]
    for line in lines:
        del line["sets"]
    write_csv(lines, args.output / f"{args.question}.csv")
    return {**experiment.header, "images": args.count, "rows": [row.to_dict() for row in rows]}


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        name.replace("_", " "): f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in row.items()
    }
