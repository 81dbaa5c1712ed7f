"""``python -m tracache bench``: checks the arguments, runs a benchmark, prints its table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from tracache.caching.checks import require_integer
from tracache.cli.nearness import run_nearness
from tracache.compare.arm import OWN, REFERENCE, SCHEDULES
from tracache.compare.arms import ARMS
from tracache.compare.estimate import estimate
from tracache.compare.output import table
from tracache.compare.report import versions
from tracache.compare.request import Request, make_request
from tracache.experiments.contenders import contenders_of
from tracache.experiments.grid import spacing_of
from tracache.experiments.latency import LatencyRow, measure_latency
from tracache.experiments.memory import MemoryRow, measure_memory
from tracache.experiments.paper import measure_macs, paper_rows
from tracache.experiments.peers import require_peer
from tracache.experiments.subjects import HELDOUT, any_subject, read_subjects
from tracache.experiments.tables import (
    show_arm_macs,
    show_latency,
    show_macs,
    show_memory,
    show_quality,
)
from tracache.experiments.unrecorded import count_quality, measure_quality
from tracache.metrics.fid import SetMeasure, measures_for
from tracache.models.loading import LoadedModel
from tracache.models.registry import DEFAULT_MODEL, find_model


def run_bench(
    args: argparse.Namespace,
    cache: dict[str, Any],
    options: dict[str, dict[str, Any]],
    load: Callable[[], LoadedModel],
) -> dict[str, Any]:
    """Run one of the benchmarks and return the figures, ready for JSON.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    cache : dict
        Cache settings that were given; the model's default otherwise.
    options : dict
        The arms' own settings that were given.
    load : callable
        Loads the model; called once everything has been checked.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    if args.macs and args.model is None:
        return _macs()
    if args.nearness:
        return run_nearness(args, load)
    args.model = args.model or DEFAULT_MODEL
    if args.macs and args.steps is None:
        args.steps = [find_model(args.model).steps]
    steps = args.steps or ([20, 50] if args.quality else [20])
    arms = args.arms or (["all"] if args.quality else ["tracache"])
    if arms == ["all"]:
        arms = _all_arms(args.model, options)
    settings = (
        [{"preset": preset} for preset in _all_presets(args)]
        if args.presets
        else [{"steps": n, **asked, **cache} for n in steps for asked in spacings(args)]
    )
    subject = any_subject(args.model)
    requests = [
        make_request(
            args.model,
            **subject,
            seed=0,
            guidance_scale=args.guidance_scale,
            scheduler=args.scheduler,
            arms=arms,
            options=options,
            **setting,
        )
        for setting in settings
    ]
    if args.macs:
        return _macs_of(requests)
    prompts = read_subjects(args, HELDOUT)
    for batch in args.batch:
        require_integer("batch", batch, 1, 64)
    require_integer("rounds", args.rounds, 1, 1000)
    if args.quality and len(args.batch) > 1:
        raise ValueError("batch: --quality takes one, --latency any number of them")
    if args.quality and (args.random_weights or args.peers or args.compile):
        raise ValueError("--random-weights, --peers and --compile do not go with --quality")
    if args.layers is not None and not args.random_weights:
        raise ValueError("--layers is for --random-weights")
    if args.peers and find_model(args.model).stock:
        raise ValueError("--peers run on DiT and PixArt, whose blocks are known by name")
    for name in args.peers:
        require_peer(name, find_model(args.model).task)
    run = _quality if args.quality else _memory if args.memory else _latency
    return run(args, load(), requests, prompts, steps)


def spacings(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What was asked of how many steps compute: numbers of them, or else strides."""
    if args.compute:
        return [{"compute": count} for count in args.compute]
    return [{"stride": stride} for stride in args.strides]


def _macs_of(requests: list[Request]) -> dict[str, Any]:
    """Count what every arm of one model computes, on shapes without numbers."""
    rows, shown = [], []
    for request in requests:
        expected = estimate(request)
        if expected.note:
            raise ValueError(expected.note)
        for arm in expected.arms:
            row = {"steps": request.steps, "stride": spacing_of(request), **arm.to_dict()}
            if row not in rows:
                rows.append(row)
                shown.append(show_arm_macs(row))
    print(table(shown))
    return {"model": requests[0].model, "counting": "all products", "rows": rows}


def _quality(
    args: argparse.Namespace,
    model: LoadedModel,
    requests: list[Request],
    prompts: list[str | int],
    steps: list[int],
) -> dict[str, Any]:
    measures = _distance(model)
    features = next(iter(measures), None)
    with tqdm(total=count_quality(len(prompts), requests), unit="image") as bar:
        rows = measure_quality(
            model,
            prompts,
            requests,
            batch=args.batch[0],
            measures=measures,
            progress=bar.update,
        )
    print(table([show_quality(row) for row in rows]))
    if features:
        print(f"\n{features}: distance to renders, in the features of that network")
    return {
        **circumstances_of(model, requests[0]),
        "options": requests[0].options,
        "prompts": len(prompts),
        "batch": args.batch[0],
        "features": features,
        "rows": [row.to_dict() for row in rows],
    }


def _latency(
    args: argparse.Namespace,
    model: LoadedModel,
    requests: list[Request],
    prompts: list[str | int],
    steps: list[int],
) -> dict[str, Any]:
    """Time every arm at every setting, batch by batch, first eagerly and then compiled."""
    groups = [contenders_of(requests, args.peers, n) for n in steps]
    ways = [(b, c) for c in ((False, True) if args.compile else (False,)) for b in args.batch]
    runs = len(ways) * (args.rounds + 1) * sum(len(group) + 1 for group in groups)
    rows: list[LatencyRow] = []
    with tqdm(total=runs, unit="run") as bar:
        for group in groups:
            for batch, compiled in ways:
                rows += measure_latency(
                    model,
                    prompts[0],
                    group,
                    scheduler=requests[0].scheduler,
                    guidance_scale=requests[0].guidance_scale,
                    batch=batch,
                    compiled=compiled,
                    rounds=args.rounds,
                    progress=bar.update,
                )
    print(table([show_latency(row) for row in rows]))
    if args.random_weights:
        print("\nRandom weights, on which neither speed nor memory depends.")
    return {
        **circumstances_of(model, requests[0]),
        "random_weights": args.random_weights,
        "layers": args.layers,
        "rounds": args.rounds,
        "rows": [row.to_dict() for row in rows],
    }


def _memory(
    args: argparse.Namespace,
    model: LoadedModel,
    requests: list[Request],
    prompts: list[str | int],
    steps: list[int],
) -> dict[str, Any]:
    groups = [contenders_of(requests, args.peers, n) for n in steps]
    rows: list[MemoryRow] = []
    with tqdm(total=sum(len(g) + 1 for g in groups) * len(args.batch), unit="run") as bar:
        for group in groups:
            for batch in args.batch:
                rows += measure_memory(
                    model,
                    prompts[0],
                    group,
                    scheduler=requests[0].scheduler,
                    guidance_scale=requests[0].guidance_scale,
                    batch=batch,
                    progress=bar.update,
                )
    print(table([show_memory(row) for row in rows]))
    if model.device.type != "cuda":
        print("\nOf the whole process, which keeps what it once had: only a GPU tells arms apart.")
    return {
        **circumstances_of(model, requests[0]),
        "random_weights": args.random_weights,
        "layers": args.layers,
        "rows": [row.to_dict() for row in rows],
    }


def _macs() -> dict[str, Any]:
    """Count the full-size models, which takes no weights and no model of the registry."""
    asked = paper_rows()
    with tqdm(total=len(asked), unit="row") as bar:
        rows = list(measure_macs(asked, bar.update))
    print(table([show_macs(row) for row in rows]))
    print("\nIn 10¹² multiply–accumulates. The paper counts products with weights only, without")
    print("the caption's projection; the last column counts everything, attention included.")
    return {"versions": versions(), "rows": [row.to_dict() for row in rows]}


def _all_presets(args: argparse.Namespace) -> list[str]:
    presets = find_model(args.model).presets
    return list(presets) if args.presets == ["all"] else args.presets


def _all_arms(model_id: str, options: dict[str, Any]) -> list[str]:
    """Every arm that this model can run; gates only with a table, one's own only if said."""
    spec = find_model(model_id)
    arms = (arm for arm in ARMS.values() if arm.id != REFERENCE and not arm.refusal(spec))
    return [a.id for a in arms if a.id in options or not (a.for_host_only or a.id == OWN)]


def _distance(model: LoadedModel) -> dict[str, SetMeasure]:
    """What measures a set of images, by the name of its features; empty where nothing does."""
    if not model.spec.embedded or model.spec.makes_video:
        return {}
    return dict(list(measures_for("scenes", model.spec).items())[:1])


def circumstances_of(model: LoadedModel, request: Request) -> dict[str, Any]:
    """What figures were made with; how many steps compute stands in each row."""
    return {
        "model": model.spec.id,
        "device": model.device_name,
        "dtype": model.dtype_name,
        "versions": versions(),
        "settings": {k: v for k, v in request.cache.to_dict().items() if k not in SCHEDULES},
        "scheduler": request.scheduler,
        "guidance_scale": request.guidance_scale,
    }
