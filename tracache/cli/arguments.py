"""What the command line takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from tracache.caching.calibration import KINDS
from tracache.caching.declare import settings_of
from tracache.caching.methods.planned import PlannedConfig
from tracache.cli.analyse import WATCHING
from tracache.cli.calibrate import ABOUT, HOW
from tracache.cli.league_options import add_league
from tracache.cli.run_settings import AXES, add_options, add_setting, add_settings, reader_of
from tracache.cli.sweep import spans
from tracache.compare.arm import PUBLISHED, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.request import SETTINGS
from tracache.experiments.doctor import CACHES
from tracache.experiments.peers import PEERS
from tracache.experiments.prompts import ABOUT as PROMPTS
from tracache.experiments.questions import QUESTIONS
from tracache.metrics.clip_score import VIT_G_14
from tracache.metrics.fid import FEATURES
from tracache.metrics.lpips import NETWORKS
from tracache.models.loading import DEVICES
from tracache.models.registry import DEFAULT_MODEL, MODELS

#: What a command runs; it returns its exit status, or None for 0.
Run = Callable[[argparse.Namespace], int | None]

#: Of commands that make many numbers of computed steps.
_COMPUTE = "computed steps, in place of strides"


def build_parser(runs: Mapping[str, Run]) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Parameters
    ----------
    runs : mapping of str to callable
        What each command runs, by name; ``watch`` and ``answer`` are the two kinds of ``analyse``.
    """
    parser = argparse.ArgumentParser(
        prog="tracache",
        description="Compare, measure and sweep ways to accelerate diffusion transformers.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    compare = commands.add_parser("compare", help="one prompt, arm by arm, with images and figures")
    _add_common(compare)
    what = compare.add_mutually_exclusive_group(required=True)
    what.add_argument("--prompt", help="what the image should show")
    what.add_argument("--class-label", metavar="CLASS", help="name or number, in place of it")
    for name in ("seed", "negative_prompt", "steps", "compute", "stride"):
        add_setting(compare, SETTINGS[name])
    for name in ("frames", "resolution", "aspect", "preset"):
        add_setting(compare, SETTINGS[name])
    compare.set_defaults(seed=0)
    compare.add_argument(
        "--arms", nargs="+", metavar="ARM", help=f"{', '.join(ARMS)} (default {TRACACHE})"
    )
    axes = compare.add_argument_group(
        "an arm of your own", "any of these, where no --arms are named: it runs beside fewer steps"
    )
    for declared in AXES.values():
        add_setting(axes, declared)
    add_settings(compare, but=AXES)
    add_options(compare)
    compare.add_argument(
        "--assert",
        dest="conditions",
        nargs="+",
        default=[],
        metavar="CONDITION",
        help="end with status 1 where one does not hold, as psnr>=28 or speed_up_macs>=2",
    )
    then = compare.add_mutually_exclusive_group(required=True)
    then.add_argument("--output", type=Path, help="folder for what is written")
    then.add_argument(
        "--plan", action="store_true", help="say which steps would compute, and run nothing"
    )
    compare.set_defaults(run=runs["compare"])

    bench = commands.add_parser("bench", help="quality, latency, or the paper's MACs")
    _add_common(bench)
    kind = bench.add_mutually_exclusive_group(required=True)
    kind.add_argument("--quality", action="store_true", help="nearness to full compute, all arms")
    kind.add_argument(
        "--nearness", action="store_true", help="every way of saving steps, at equal computed steps"
    )
    kind.add_argument("--latency", action="store_true", help="speed-up, and where the rest goes")
    kind.add_argument("--memory", action="store_true", help="peak of each arm's run")
    kind.add_argument(
        "--macs", action="store_true", help="the paper's tables; with --model, that model's arms"
    )
    bench.add_argument("--steps", type=int, nargs="+", help="default 20 50; latency 20")
    bench.add_argument(
        "--strides", type=reader_of(SETTINGS["stride"]), nargs="+", default=[2, 3, 4, 5]
    )
    bench.add_argument("--compute", type=int, nargs="+", metavar="N", help=_COMPUTE)
    bench.add_argument("--presets", nargs="+", metavar="NAME", help="in place of strides; or all")
    bench.add_argument("--arms", nargs="+", metavar="ARM", help="default all; latency tracache")
    bench.add_argument("--prompts", help=f"{PROMPTS} (the held-out ones)")
    bench.add_argument("--count", type=int, default=32, help="prompts to take (default 32)")
    bench.add_argument(
        "--batch", type=int, nargs="+", default=[1], help="prompts per run (default 1)"
    )
    bench.add_argument("--rounds", type=int, default=7, help="timed rounds (default 7)")
    bench.add_argument(
        "--budgets", type=int, nargs="+", help="nearness: computed steps (1/4, 1/3, 2/5, 1/2)"
    )
    bench.add_argument("--schedulers", nargs="+", metavar="NAME", help="nearness: several")
    bench.add_argument(
        "--guidances",
        type=float,
        nargs="+",
        default=[],
        metavar="SCALE",
        help="nearness: several guidance scales",
    )
    bench.add_argument("--ways", nargs="+", default=[], metavar="WAY", help="nearness: all")
    bench.add_argument(
        "--plans",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="nearness: calibrated",
    )
    bench.add_argument(
        "--own-budget", action="store_true", help="nearness: arms that choose what they compute"
    )
    bench.add_argument(
        "--output", type=Path, metavar="FOLDER", help="nearness: of records; goes on where it was"
    )
    bench.add_argument(
        "--random-weights",
        action="store_true",
        help="latency, memory: full-size model, nothing to fetch",
    )
    bench.add_argument(
        "--layers", type=int, metavar="N", help="random weights: at most so many blocks a stack"
    )
    bench.add_argument("--compile", action="store_true", help="latency: with torch.compile too")
    bench.add_argument(
        "--peers", nargs="+", default=[], metavar="NAME", help=f"latency: {', '.join(PEERS)}"
    )
    add_settings(bench)
    add_options(bench)
    bench.set_defaults(run=runs["bench"], model=None)

    sweep = commands.add_parser("sweep", help="strides, orders and arms over many prompts")
    _add_common(sweep)
    sweep.add_argument("--steps", type=int, nargs="+", help="the model's default")
    sweep.add_argument("--strides", type=spans, nargs="+", default=[[2, 3, 4, 5]], metavar="1-6")
    sweep.add_argument("--compute", type=spans, nargs="+", metavar="5-10", help=_COMPUTE)
    sweep.add_argument("--orders", type=spans, nargs="+", metavar="0-5", help="the default alone")
    sweep.add_argument(
        "--arms",
        nargs="+",
        default=[TRACACHE, PUBLISHED, "fewer-steps", "reuse"],
        metavar="ARM",
    )
    _add_experiment(sweep)
    add_settings(sweep)
    add_options(sweep)
    sweep.set_defaults(run=runs["sweep"])

    league = commands.add_parser("league", help="everybody at equal computed steps, with ranks")
    add_league(league)
    add_options(league)
    league.set_defaults(run=runs["league"])

    doctor = commands.add_parser("doctor", help="what is wrong with a cache, ours or another's")
    doctor.add_argument(
        "--pipe",
        dest="model",
        required=True,
        metavar="PIPELINE",
        help=f"folder of a pipeline, or hub:owner/name; or a model: {', '.join(MODELS)}",
    )
    doctor.add_argument("--cache", default=TRACACHE, help=f"{', '.join(CACHES)} (tracache)")
    doctor.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a field of the cache's configuration, as threshold=0.2",
    )
    what = doctor.add_mutually_exclusive_group()
    what.add_argument("--prompt", default="a red cube on grass", help="what the image should show")
    what.add_argument("--class-label", metavar="CLASS", help="name or number, in place of it")
    doctor.add_argument("--steps", type=int, help="denoising steps (the model's, 20 at most)")
    doctor.add_argument("--size", type=int, help="side of the picture, in pixels (the model's)")
    doctor.add_argument("--device", help=f"{', '.join(DEVICES)}; the best there is by default")
    doctor.add_argument("--json", type=Path, metavar="FILE", help="write the findings here too")
    doctor.set_defaults(run=runs["doctor"])

    _add_analyse(
        commands.add_parser("analyse", help="what the paper's figures and tables show"), runs
    )

    examples = commands.add_parser("examples", help="record the page's examples anew")
    examples.add_argument("--device", help=f"{', '.join(DEVICES)}; the best there is by default")
    examples.add_argument("--output", type=Path, help="folder (that of the assets)")
    examples.set_defaults(run=runs["examples"])

    again = commands.add_parser("refresh", help="make figures again that are of older weights")
    again.add_argument("--list", action="store_true", help="say what is out of date, and stop")
    again.add_argument("--all", action="store_true", help="make all of them again")
    again.add_argument("--only", nargs="+", metavar="NAME", help="of these, by name")
    again.add_argument("--work", type=Path, metavar="FOLDER", help="goes on where it was")
    again.set_defaults(run=runs["refresh"])

    tune = commands.add_parser("tune", help="find which steps to compute for a budget")
    _add_common(tune)
    tune.add_argument("--steps", type=int, help="denoising steps (the model's default)")
    tune.add_argument("--budgets", type=int, nargs="+", default=[10, 9, 8, 7, 6, 5])
    tune.add_argument("--prompts", help=f"{PROMPTS} (the tuning ones)")
    tune.add_argument("--count", type=int, default=32, help="prompts to take (default 32)")
    tune.add_argument("--batch", type=int, default=16, help="prompts per run (default 16)")
    tune.set_defaults(run=runs["tune"])

    calibrate = commands.add_parser(
        "calibrate", help="measure what calibrated methods need: ratios, plans, weights"
    )
    _add_common(calibrate, "what is calibrated is written here, for an arm to read")
    calibrate.add_argument("--what", required=True, choices=KINDS, help=ABOUT)
    calibrate.add_argument("--steps", type=int, help="denoising steps (the model's default)")
    calibrate.add_argument("--compute", type=int, nargs="+", metavar="N", help="computed steps")
    calibrate.add_argument(
        "--max-order", type=int, help="weights: of so many computed steps and one (2)"
    )
    calibrate.add_argument(
        "--widest", type=int, help="lemica: most steps skipped in a row (a third of them)"
    )
    for name in HOW:
        add_setting(calibrate, settings_of(PlannedConfig)[name])
    calibrate.add_argument(
        "--output", type=Path, metavar="FOLDER", help="lemica: of records; goes on where it was"
    )
    calibrate.add_argument("--prompts", help=f"{PROMPTS} (the tuning ones)")
    calibrate.add_argument("--count", type=int, default=8, help="prompts to take (default 8)")
    calibrate.add_argument("--batch", type=int, default=8, help="prompts per run (default 8)")
    calibrate.set_defaults(run=runs["calibrate"])
    return parser


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompts", help=f"{PROMPTS} (the held-out ones)")
    parser.add_argument("--count", type=int, default=16, help="prompts, or more images than those")
    parser.add_argument("--batch", type=int, default=1, help="prompts per run (default 1)")
    parser.add_argument("--features", choices=FEATURES, default="none", help="for sets of images")
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help="images to be near to")
    parser.add_argument("--lpips", choices=NETWORKS, help="distance to full compute's images")
    parser.add_argument("--clip", metavar="CHECKPOINT", help=f"score prompts with it: {VIT_G_14}")
    parser.add_argument("--output", type=Path, required=True, help="folder; goes on where it was")


def _add_analyse(parser: argparse.ArgumentParser, runs: Mapping[str, Run]) -> None:
    questions = parser.add_subparsers(required=True, metavar="question", dest="question")
    for name, about in WATCHING.items():
        question = questions.add_parser(name, help=about)
        _add_common(question)
        what = question.add_mutually_exclusive_group()
        what.add_argument("--prompt", help="what to watch (the first held-out prompt)")
        what.add_argument("--class-label", metavar="CLASS", help="name or number, in place of it")
        question.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
        question.add_argument("--steps", type=int, help="denoising steps (the model's default)")
        question.add_argument("--block", type=int, default=-1, help="from 1; the last by default")
        question.add_argument("--stride", type=int, default=3, help="of what is predicted (3)")
        question.add_argument("--order", type=int, default=3, help="highest (default 3)")
        question.add_argument("--most", type=int, default=6, help="widest interval (default 6)")
        question.add_argument("--output", type=Path, required=True, help="folder")
        question.set_defaults(run=runs["watch"])
    for name, entry in QUESTIONS.items():
        question = questions.add_parser(name, help=entry.about)
        _add_common(question)
        question.add_argument("--steps", type=int, help="denoising steps")
        question.add_argument("--strides", type=spans, nargs="+", metavar="3-6")
        question.add_argument("--orders", type=spans, nargs="+", metavar="2-5")
        _add_experiment(question)
        question.set_defaults(run=runs["answer"])


def _add_common(parser: argparse.ArgumentParser, file: str = "") -> None:
    """Add what all commands take; ``file`` says what is written, where it must be said where."""
    known = f"{', '.join(MODELS)}; hub:owner/name, or the folder of a pipeline"
    parser.add_argument("--model", default=DEFAULT_MODEL, help=known)
    parser.add_argument("--scheduler", help="of the model's (its default)")
    parser.add_argument("--guidance-scale", type=float, help="the model's default")
    parser.add_argument("--device", help=f"{', '.join(DEVICES)}; the best there is by default")
    also = file or "write the figures here too"
    parser.add_argument("--json", type=Path, metavar="FILE", required=bool(file), help=also)
