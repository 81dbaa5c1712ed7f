"""What a series of runs is about: prompts from a file, or classes, spread over all there are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tracache.compare.request import Request, make_request
from tracache.experiments.prompts import SETS, read_prompts, split_prompts
from tracache.models.registry import find_model
from tracache.models.sources import labels_of
from tracache.settings import Settings, require_asset

#: Lists of the embedded models' prompts: those that are reported on, and those to choose on.
HELDOUT, TUNING = "heldout.txt", "tuning.txt"


def any_subject(model_id: str) -> dict[str, Any]:
    """What to hand to ``make_request`` where only the settings matter."""
    classes = find_model(model_id).task == "class-to-image"
    return {"class_label": 0} if classes else {"prompt": "any prompt"}


def any_request(args: argparse.Namespace, **more: Any) -> Request:
    """Check what a command was told of runs, whatever they will be of.

    Parameters
    ----------
    args : argparse.Namespace
        With ``model``, ``guidance_scale`` and ``scheduler``.
    **more
        What else is asked for.

    Raises
    ------
    ValueError
        If something is not allowed.
    """
    how = {"guidance_scale": args.guidance_scale, "scheduler": args.scheduler, **more}
    return make_request(args.model, **any_subject(args.model), seed=0, **how)


def read_subjects(args: argparse.Namespace, default: str) -> list[str | int]:
    """Return so many prompts, or classes where the model takes those, spread over all there are.

    Parameters
    ----------
    args : argparse.Namespace
        With ``model``, ``prompts`` (what ``read_prompts`` takes, or None) and ``count``.
    default : str
        List of the embedded models' prompts.

    Raises
    ------
    ValueError
        If there are too few, or prompts are given where classes are wanted.
    """
    items, kind = all_subjects(args, default)
    if not 1 <= args.count <= len(items):
        raise ValueError(
            f"count must be from 1 to {len(items)}, the {kind} there are; got {args.count}"
        )
    return every_nth(items, args.count)


def all_subjects(args: argparse.Namespace, default: str) -> tuple[list[str | int], str]:
    """Return all prompts or classes, and which of the two they are; see :func:`read_subjects`."""
    spec = find_model(args.model)
    if spec.task != "class-to-image":
        default = f"clips-{default}" if spec.task == "text-to-video" else default
        return _read_prompts(args.prompts, default), "prompts"
    if args.prompts is not None:
        raise ValueError(f"prompts: {spec.title} takes classes, not prompts")
    labels = labels_of(spec, Settings.from_environment())
    return list(labels.names) if labels is not None else [], "classes"


def every_nth(items: Sequence[str | int], count: int) -> list[str | int]:
    """Return so many from all over, since a list may be sorted by kind; or all, again and again."""
    if count > len(items):
        return [items[i % len(items)] for i in range(count)]
    return [items[i * len(items) // count] for i in range(count)]


def _read_prompts(source: str | None, default: str) -> list[str | int]:
    """Prompts from what was named, or those that the embedded model has not been trained on."""
    if source is None:
        assets = Settings.from_environment().assets
        source = str(require_asset(assets / "prompts" / default, assets))
    found = read_prompts(source)
    # What is chosen on the tenth of a known set may be reported on the rest of it.
    return list(split_prompts(found)[1] if source in SETS and default.endswith(TUNING) else found)
