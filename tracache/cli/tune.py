"""``python -m tracache tune``: checks the arguments, searches presets, prints what it found."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from tracache.caching.checks import require_integer
from tracache.cli.bench import circumstances_of
from tracache.compare.output import table
from tracache.experiments.subjects import TUNING, any_request, read_subjects
from tracache.experiments.tables import show_tuned
from tracache.experiments.tune import tune
from tracache.models.loading import LoadedModel


def run_tune(args: argparse.Namespace, load: Callable[[], LoadedModel]) -> dict[str, Any]:
    """Run ``tune`` and return the presets it found, ready for JSON.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    request = any_request(args, steps=args.steps)
    for budget in args.budgets:
        require_integer("budgets", budget, 2, request.steps)
    prompts = read_subjects(args, TUNING)
    model = load()
    found = []
    for budget in args.budgets:
        with tqdm(bar_format="{desc}", desc="") as bar:
            found.append(
                tune(
                    model,
                    prompts,
                    num_steps=request.steps,
                    budget=budget,
                    scheduler=request.scheduler,
                    guidance_scale=request.guidance_scale,
                    batch=args.batch,
                    progress=bar.set_description_str,
                )
            )
        print(table([show_tuned(tuned) for tuned in found[-1:]]))
    circumstances = circumstances_of(model, request)
    circumstances.pop("settings")
    return {
        **circumstances,
        "prompts": len(prompts),
        "presets": [
            {
                **tuned.to_preset(request.scheduler).to_dict(),
                "tuned": {
                    "latent_error": round(tuned.error, 5),
                    "fewer_steps": round(tuned.fewer_steps, 5),
                    "tried": tuned.tried,
                },
            }
            for tuned in found
        ],
    }
