"""The command line: ``python -m tracache compare`` and ``python -m tracache bench``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from tqdm import tqdm

from tracache.caching.declare import HOST
from tracache.cli.analyse import run_comparing, run_watching
from tracache.cli.arguments import build_parser
from tracache.cli.bench import run_bench
from tracache.cli.calibrate import run_calibrate
from tracache.cli.doctor import run_doctor
from tracache.cli.league import run_league
from tracache.cli.outputs import require_outputs
from tracache.cli.refresh import run_refresh
from tracache.cli.run_settings import asked_for, given_cache_settings, options_of
from tracache.cli.sweep import run_sweep
from tracache.cli.tune import run_tune
from tracache.compare.arm import OWN
from tracache.compare.comparison import compare
from tracache.compare.conditions import broken, read_conditions
from tracache.compare.estimate import estimate
from tracache.compare.events import ArmDone, ArmStarted, Finished, Stage, StepDone
from tracache.compare.examples import FOLDER, record_cards, record_examples
from tracache.compare.output import table, write_json
from tracache.compare.report import Report
from tracache.compare.request import Request, make_request
from tracache.compare.saving import save_report
from tracache.compare.triple import Triple
from tracache.compare.words import factor_of, nearness_of, range_of, timing_of
from tracache.experiments.doctor import FAULT
from tracache.experiments.workers import this_worker
from tracache.models.bring import bring, is_brought
from tracache.models.loading import LoadedModel, ModelUnavailableError, load_model
from tracache.models.random_weights import load_random
from tracache.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    That is 0, 1 where what a command was asked to check does not hold or where ``doctor`` finds a
    fault, 2 where its input was not allowed, and 130 where it was stopped.
    """
    args = build_parser(RUNS).parse_args(argv)
    try:
        require_outputs(args)
        if is_brought(getattr(args, "model", None) or ""):
            args.model = bring(args.model, Settings.from_environment()).id
        return args.run(args) or 0
    except (ValueError, ModelUnavailableError, OSError) as error:
        print(f"tracache: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tracache: stopped", file=sys.stderr)
        return 130


def _load(args: argparse.Namespace) -> LoadedModel:
    return load_model(args.model, _settings(args))


def _settings(args: argparse.Namespace) -> Settings:
    settings = Settings.from_environment()
    if args.device is not None:
        settings = dataclasses.replace(settings, device=args.device)
    return settings


def _bench(args: argparse.Namespace) -> None:
    def load() -> LoadedModel:
        if args.random_weights:
            return load_random(args.model, _settings(args), args.layers)
        return _load(args)

    figures = run_bench(args, given_cache_settings(args), options_of(args), load)
    if args.json is not None:
        write_json(args.json, figures)


def _sweep(args: argparse.Namespace) -> None:
    worker, settings = this_worker(_settings(args))
    given = {
        name: value for name, value in given_cache_settings(args).items() if name != "max_order"
    }
    figures = run_sweep(
        args, given, options_of(args), worker, lambda: load_model(args.model, settings)
    )
    if figures is not None and args.json is not None:
        write_json(args.json, figures)


def _league(args: argparse.Namespace) -> None:
    worker, settings = this_worker(_settings(args))
    args.options = options_of(args)
    figures = run_league(args, lambda model: load_model(model, settings), worker)
    if figures is not None and args.json is not None:
        write_json(args.json, figures)


def _watch(args: argparse.Namespace) -> None:
    figures = run_watching(args, lambda: _load(args))
    if args.json is not None:
        write_json(args.json, figures)


def _answer(args: argparse.Namespace) -> None:
    worker, settings = this_worker(_settings(args))
    figures = run_comparing(args, worker, lambda: load_model(args.model, settings))
    if figures is not None and args.json is not None:
        write_json(args.json, figures)


def _tune(args: argparse.Namespace) -> None:
    presets = run_tune(args, lambda: _load(args))
    if args.json is not None:
        write_json(args.json, presets)


def _calibrate(args: argparse.Namespace) -> None:
    run_calibrate(args, lambda: _load(args))


def _doctor(args: argparse.Namespace) -> int:
    diagnosis = run_doctor(args, lambda: _load(args))
    if args.json is not None:
        write_json(args.json, diagnosis.to_dict())
    return int(diagnosis.status == FAULT)


def _examples(args: argparse.Namespace) -> None:
    settings = _settings(args)
    folder = args.output or settings.assets / FOLDER
    record_examples(folder, lambda model_id: load_model(model_id, settings))
    record_cards(folder, lambda model_id: load_model(model_id, settings))
    print(f"written to {folder}")


def _compare(args: argparse.Namespace) -> int:
    conditions = read_conditions(args.conditions)
    request = make_request(
        args.model,
        args.prompt,
        class_label=args.class_label,
        who=HOST,
        **asked_for(args),
    )
    if OWN in request.arms:
        print(f"your own: {Triple(**request.options.get(OWN, {}))}", file=sys.stderr)
    if request.asked:
        print(f"understood as: {request.prompt}", file=sys.stderr)
    if args.plan:
        for line in estimate(request, _settings(args)).describe():
            print(line)
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    report, bar = None, None
    model = _load(args)
    for line in _expected(request, _settings(args)):
        print(f"expected: {line}", file=sys.stderr)
    for event in compare(model, request, _settings(args)):
        match event:
            case Stage():
                print(event.message, file=sys.stderr)
            case ArmStarted():
                bar = tqdm(total=event.num_steps, desc=event.title, unit="step")
            case StepDone() if bar is not None:
                bar.update()
            case ArmDone() if bar is not None:
                bar.close()
            case Finished():
                report = event.report
    assert report is not None
    save_report(report, args.output)
    if args.json is not None:
        write_json(args.json, report.to_dict())
    print(table(_report_rows(report)))
    for line in (timing_of(report), *(f"{a.title}: {a.doubt}." for a in report.arms if a.doubt)):
        print(f"\n{line}")
    print(f"\nwritten to {args.output}")
    failed = broken(conditions, report.arms)
    for line in failed:
        print(f"tracache: {line}", file=sys.stderr)
    return 1 if failed else 0


def _expected(request: Request, settings: Settings) -> list[str]:
    """What a request will cost, as far as that is known beforehand."""
    try:
        return estimate(request, settings).describe()
    except ValueError as error:
        return [str(error)]


def _report_rows(report: Report) -> list[dict[str, str]]:
    return [
        {
            "arm": arm.title,
            "computed": f"{arm.full_steps} of {arm.num_steps}",
            "fewer MACs": f"{arm.speed_up_macs:.2f}×",
            "speed-up": factor_of(arm),
            "range": range_of(arm),
            "denoising": f"{arm.denoising_s:.3f} s",
            "end to end": f"{arm.end_to_end_s:.3f} s",
            arm.memory_kind: f"{arm.memory_bytes / 2**20:.0f} MiB",
            "PSNR": nearness_of(arm),
            "SSIM": f"{arm.ssim:.4f}",
        }
        for arm in report.arms
    ]


RUNS = {
    "compare": _compare,
    "bench": _bench,
    "sweep": _sweep,
    "league": _league,
    "tune": _tune,
    "calibrate": _calibrate,
    "examples": _examples,
    "refresh": run_refresh,
    "doctor": _doctor,
    "watch": _watch,
    "answer": _answer,
}
