"""What ``python -m tracache league`` takes, and the command that makes the same figures again."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from tracache.caching.declare import HOST
from tracache.compare.arms import find_arm
from tracache.compare.options import check_options
from tracache.experiments.league.entrants import ALL, WAY, Entrant
from tracache.experiments.prompts import ABOUT as PROMPTS
from tracache.experiments.refresh import PLACE
from tracache.metrics.clip_score import VIT_L_14
from tracache.metrics.named import NAMED


def add_league(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="models, one after the other")
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 30, 50], help="20 30 50")
    parser.add_argument(
        "--compute",
        type=int,
        nargs="+",
        metavar="N",
        help="computed steps (1/4, 3/10, 2/5 and 1/2 of the steps)",
    )
    parser.add_argument("--arms", nargs="+", default=[ALL], metavar="ARM", help="all")
    parser.add_argument("--ways", nargs="+", default=[ALL], metavar="WAY", help="all")
    parser.add_argument(
        "--variant",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="TITLE ARM NAME=VALUE …: an arm with other settings too; {steps} may be in a value",
    )
    parser.add_argument("--prompts", help=f"{PROMPTS} (the held-out ones)")
    parser.add_argument(
        "--tuning-prompts",
        metavar="PROMPTS",
        help="likewise, to find settings on (of --prompts a tenth that is then left out)",
    )
    parser.add_argument(
        "--count", type=int, help="held-out prompts (64; with --prompts all of them)"
    )
    parser.add_argument("--batch", type=int, help="prompts per run (32; of models from the Hub 1)")
    parser.add_argument(
        "--tuning", type=int, default=16, help="prompts that settings are found on (default 16)"
    )
    parser.add_argument(
        "--pictures", type=int, default=4, help="prompts of which pictures are shown (default 4)"
    )
    parser.add_argument("--lpips", help="distance to full compute's images: alex, vgg, squeeze")
    parser.add_argument(
        "--measures",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"of pictures and their prompts: {', '.join(NAMED)}; NAME=WEIGHTS for others than "
        f"the usual ({VIT_L_14})",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="on all machines of a Ray cluster; auto finds the one that runs here, local makes one",
    )
    parser.add_argument("--device", help="the best there is by default")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="of records; goes on there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")


def variant_of(words: Sequence[str], steps: int) -> Entrant:
    """Read ``TITLE ARM NAME=VALUE …``: an arm with other settings, under a name of its own.

    Parameters
    ----------
    words : sequence of str
        As on the command line; ``{steps}`` in a value is the number of steps.
    steps : int
        Of full compute.

    Raises
    ------
    ValueError
        If that is not what they are, or a setting is not allowed.
    """
    if len(words) < 3 or not all("=" in word for word in words[2:]):
        raise ValueError(f"--variant takes TITLE ARM NAME=VALUE …, got {' '.join(words)}")
    title, arm, *settings = words
    given = {}
    for text in settings:
        name, _, value = text.partition("=")
        declared = find_arm(arm).options.get(name)
        value = value.replace("{steps}", str(steps))
        # What is unknown is for the check to refuse, in its words.
        given[name] = value if declared is None else declared.read(value)
    return Entrant(title, title, WAY, arm, check_options({arm: given}, HOST)[arm])


def command_of(args: argparse.Namespace) -> str:
    """Return the command that makes the same figures again."""
    words = ["python", "-m", "tracache", "league", *args.models]
    several = {"steps": args.steps, "compute": args.compute, "arms": args.arms, "ways": args.ways}
    for name, values in several.items():
        if values and values != [ALL]:
            words += [f"--{name}", *map(str, values)]
    for text in args.option:
        words += ["--option", text]
    for variant in args.variant:
        words += ["--variant", *variant]
    for name in ("prompts", "tuning_prompts"):
        if getattr(args, name) is not None:
            words += [f"--{name.replace('_', '-')}", getattr(args, name)]
    for name in ("count", "batch", "tuning", "pictures", "lpips"):
        if getattr(args, name) is not None:
            words += [f"--{name}", str(getattr(args, name))]
    if args.measures:
        words += ["--measures", *args.measures]
    return f"{shlex.join(words)} --json {PLACE}"
