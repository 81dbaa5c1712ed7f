"""What a league is to run, checked before any work starts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracache.caching.checks import require_integer
from tracache.caching.declare import HOST
from tracache.cli.league_options import variant_of
from tracache.compare.options import check_options
from tracache.compare.request import make_request
from tracache.experiments.league.entrants import field_of
from tracache.experiments.league.leg import Leg, frames_kept
from tracache.experiments.prompts import digest_of_prompts, read_prompts, split_prompts
from tracache.experiments.subjects import HELDOUT, TUNING, all_subjects, any_subject, every_nth
from tracache.experiments.summary import PairMeasure
from tracache.experiments.ways import Circumstances
from tracache.metrics.fid import SetMeasure, measures_for
from tracache.metrics.lpips import LpipsMeasure
from tracache.metrics.named import PromptMeasure, named_measures
from tracache.models.bring import bring, is_brought
from tracache.models.registry import find_model
from tracache.models.sources import labels_of
from tracache.models.spec import ModelSpec
from tracache.settings import Settings

#: Shares of the steps that are computed unless somebody says how many.
SHARES = (1 / 4, 3 / 10, 2 / 5, 1 / 2)

#: Pictures of a cell that may be shown.
MAX_PICTURES = 8

#: Prompts, and prompts per run, where nobody says how many; a large model runs one at a time.
COUNT, BATCH = 64, 32


@dataclass(frozen=True)
class Plan:
    """What is run of one model, checked.

    Attributes
    ----------
    name : str
        As it was asked for: of the registry, or brought along.
    spec : ModelSpec
        The model.
    legs : list of Leg
        What is done at each number of steps.
    of : str
        What its pictures are of: "prompts" or "classes".
    words : list of str
        These, in words.
    measures : dict
        Of sets of pictures, by name.
    """

    name: str
    spec: ModelSpec
    legs: list[Leg]
    of: str
    words: list[str]
    measures: dict[str, SetMeasure]

    @property
    def folder(self) -> str:
        """Its name, fit for a folder."""
        return self.spec.id.replace(":", "-").replace("/", "-")

    @property
    def frames(self) -> int:
        """How many frames are side by side in a recorded picture."""
        return frames_kept(self.spec)


@dataclass(frozen=True)
class Measures:
    """What else pictures are measured by.

    Attributes
    ----------
    pairs : dict
        Of a picture and full compute's, by name.
    named : list of PromptMeasure
        Of a picture and its prompt.
    """

    pairs: dict[str, PairMeasure]
    named: list[PromptMeasure]


@dataclass(frozen=True)
class Planned:
    """A whole league, checked.

    Attributes
    ----------
    plans : list of Plan
        One a model.
    measures : Measures
        What else pictures are measured by.
    header : dict
        ``count``, ``batch`` and ``tuning``, and which prompts where some are named: what must not
        change within a folder.
    """

    plans: list[Plan]
    measures: Measures
    header: dict[str, Any]


def plan_league(args: argparse.Namespace) -> Planned:
    """Check all that is asked.

    Raises
    ------
    ValueError
        If something is not allowed.
    """
    require_integer("tuning", args.tuning, 1, 64)
    require_integer("pictures", args.pictures, 0, MAX_PICTURES)
    reported, apart = _prompts(args)
    names = list(dict.fromkeys(args.models))
    specs = [find_model(_known(name)) for name in names]
    count = len(reported) if args.count is None and reported else args.count
    batch = args.batch
    if batch is None:
        batch = BATCH if all(spec.embedded for spec in specs) else 1
    header = {"count": COUNT if count is None else count, "batch": batch, "tuning": args.tuning}
    require_integer("batch", header["batch"], 1, 64)
    require_integer("count", header["count"], 1, 100_000)
    plans = [make_plan(args, name, header, reported, apart) for name in names]
    known = [*(reported or ()), *(apart or ())]
    chosen = f"{_title(args)}, {digest_of_prompts(known)}" if known else None
    return Planned(plans, _measures(args, plans), {**header, "prompt_set": chosen})


def _known(name: str) -> str:
    """Return the name of a model in the registry, where one that is brought along is listed."""
    return bring(name, Settings.from_environment()).id if is_brought(name) else name


def _title(args: argparse.Namespace) -> str:
    names = [args.prompts, args.tuning_prompts and f"settings on {args.tuning_prompts}"]
    return ", ".join(filter(None, names))


def _prompts(args: argparse.Namespace) -> tuple[list[str] | None, list[str] | None]:
    """Return the prompts to report on and those to choose settings on; None for the model's own."""
    reported, apart = None, None
    if args.prompts is not None:
        reported = read_prompts(args.prompts)
        if args.tuning_prompts is None:
            reported, apart = split_prompts(reported)
    if args.tuning_prompts is not None:
        taken = set(reported or ())
        apart = [p for p in read_prompts(args.tuning_prompts) if p not in taken]
        if not apart:
            raise ValueError("--tuning-prompts has no prompt that is not among those reported on")
    return reported, apart


def make_plan(
    args: argparse.Namespace,
    name: str,
    header: dict[str, int],
    reported: Sequence[str] | None = None,
    apart: Sequence[str] | None = None,
) -> Plan:
    """Check what is asked of one model.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    name : str
        Of the model.
    header : dict
        With ``count``, ``batch`` and ``tuning``.
    reported, apart : sequence of str, optional
        Prompts to report on, and to choose settings on, in place of the model's own.

    Raises
    ------
    ValueError
        If something is not allowed.
    """
    model = _known(name)
    request = make_request(model, **any_subject(model), seed=0)
    spec = request.spec
    asked = argparse.Namespace(model=model, prompts=None)
    if spec.task == "class-to-image" and (reported or apart):
        raise ValueError(f"prompts: {spec.title} takes classes, not prompts")
    heldout, of = (reported, "prompts") if reported else all_subjects(asked, HELDOUT)
    tuning = apart or all_subjects(asked, TUNING)[0]
    if not heldout or not tuning:
        raise ValueError(f"there are no {of} to take for {model}")
    subjects = every_nth(heldout, header["count"])
    choosing = every_nth(tuning, header["tuning"])
    legs = []
    options = check_options(args.options, HOST)
    for steps in dict.fromkeys(args.steps):
        require_integer("steps", steps, 2, spec.max_steps)
        around = Circumstances(request.scheduler, request.guidance_scale, steps)
        variants = [variant_of(words, steps) for words in args.variant]
        whole = field_of(spec, around, args.arms, args.ways, options, variants)
        budgets = args.compute or sorted({max(2, round(s * steps)) for s in SHARES})
        for budget in budgets:
            require_integer("compute", budget, 2, steps)
        legs.append(Leg(whole, subjects, choosing, budgets, header["batch"]))
    return Plan(name, spec, legs, of, _words(spec, subjects, of), _distance(spec))


def _measures(args: argparse.Namespace, plans: Sequence[Plan]) -> Measures:
    """Return what else pictures are measured by, once it is known that it can be."""
    pairs: dict[str, PairMeasure] = {}
    video = any(plan.spec.makes_video for plan in plans)
    if args.lpips is not None:
        if video:
            raise ValueError("lpips is of images: leave it out, or the models of videos")
        lpips = LpipsMeasure(args.lpips)
        pairs[lpips.name] = lpips
    if args.measures and any(plan.of == "classes" for plan in plans):
        raise ValueError("--measures are of prompts: leave them out, or the models of classes")
    if video and any(word.startswith("imagereward") for word in args.measures):
        raise ValueError("imagereward is of images: leave it out, or the models of videos")
    return Measures(pairs, named_measures(args.measures))


def _distance(spec: ModelSpec) -> dict[str, SetMeasure]:
    """What measures a set of pictures; nothing where no network knows them."""
    if not spec.embedded or spec.makes_video:
        return {}
    return dict(list(measures_for("scenes", spec).items())[:1])


def _words(spec: ModelSpec, subjects: Sequence[str | int], of: str) -> list[str]:
    """Return prompts, or the names of classes."""
    labels = labels_of(spec, Settings.from_environment()) if of == "classes" else None
    return [
        str(one) if labels is None or isinstance(one, str) else labels.names[one]
        for one in subjects
    ]
