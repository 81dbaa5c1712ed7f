"""``python -m tracache doctor``: checks the arguments, examines a cache, prints what was found."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable
from typing import Any

from tracache.caching.checks import require_integer
from tracache.caching.method_config import MAX_STEPS
from tracache.compare.request import make_request
from tracache.experiments.doctor import Diagnosis, examine, find_cache, of_model
from tracache.models.loading import LoadedModel
from tracache.models.registry import find_model

#: Some twenty runs are made: of no more steps than this, where nobody says how many.
_STEPS = 20


def run_doctor(args: argparse.Namespace, load: Callable[[], LoadedModel]) -> Diagnosis:
    """Examine a cache on a pipeline, print the findings and return them.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    spec = find_model(args.model)
    cache = find_cache(args.cache, settings_of(args.set))
    steps = min(spec.steps, _STEPS) if args.steps is None else args.steps
    require_integer("steps", steps, 4, MAX_STEPS)
    if args.size is not None:
        require_integer("size", args.size, 8, 4096)
        if not isinstance(spec.size, int):
            raise ValueError("--size is for pictures: videos have the size of their model")
    subject: dict[str, Any] = {"prompt": args.prompt}
    if spec.task == "class-to-image":
        subject = {"class_label": 0 if args.class_label is None else args.class_label}
    elif args.class_label is not None:
        subject = {"class_label": args.class_label}
    # What of it is not allowed, a request says in its words.
    request = make_request(args.model, **subject, steps=steps)
    model = load()
    print(f"examining {cache.name} on {spec.title}: some twenty runs", file=sys.stderr)
    with model.lock:
        diagnosis = examine(of_model(model, request.subject, args.size), cache, steps)
    print("\n".join(diagnosis.lines()))
    return diagnosis


def settings_of(given: list[str]) -> dict[str, Any]:
    """Return settings by name; what is no value of Python's is a word.

    Raises
    ------
    ValueError
        If one is not NAME=VALUE.
    """
    settings = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"--set takes NAME=VALUE, as threshold=0.2; got {text!r}")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings
