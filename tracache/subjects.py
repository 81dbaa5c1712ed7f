"""What a series of runs is about: prompts from a file, or classes, spread over all there are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracache.models.registry import find_model
from tracache.models.sources import labels_of
from tracache.settings import Settings


def any_subject(model_id: str) -> dict[str, Any]:
    """What to hand to ``make_request`` where only the settings matter."""
    classes = find_model(model_id).task == "class-to-image"
    return {"class_label": 0} if classes else {"prompt": "any prompt"}


def read_subjects(args: argparse.Namespace, default: str, repeat: bool = False) -> list[str | int]:
    """Return prompts, or for a model that takes classes as many of them, spread over all.

    Parameters
    ----------
    args : argparse.Namespace
        With ``model``, ``prompts`` (a file or None) and ``count``.
    default : str
        List of the embedded models' prompts.
    repeat : bool, default False
        Whether to begin again where more are asked for than there are.

    Raises
    ------
    ValueError
        If there are too few, or prompts are given where classes are wanted.
    """
    spec = find_model(args.model)
    items: Sequence[str | int]
    if spec.task != "class-to-image":
        items, kind = _read_prompts(args.prompts, default), "prompts"
    elif args.prompts is not None:
        raise ValueError(f"prompts: {spec.title} takes classes, not prompts")
    else:
        labels = labels_of(spec, Settings.from_environment())
        items, kind = list(labels.names) if labels is not None else [], "classes"
    if repeat and items and args.count > len(items):
        return [items[i % len(items)] for i in range(args.count)]
    return _every_nth(items, args.count, kind)


def _read_prompts(file: Path | None, default: str) -> list[str]:
    """Prompts from the file given, or those that the embedded model has not been trained on."""
    file = file or Settings.from_environment().assets / "prompts" / default
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


def _every_nth(items: Sequence[str | int], count: int, kind: str) -> list[str | int]:
    """So many of them, from all over, since a list may be sorted by kind."""
    if not 1 <= count <= len(items):
        raise ValueError(f"count must be from 1 to {len(items)}, the {kind} there are; got {count}")
    return [items[i * len(items) // count] for i in range(count)]
