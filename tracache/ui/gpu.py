"""Runs a comparison where the GPU is: in this process, or in ZeroGPU's on a Hugging Face Space."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from tracache.compare import compare
from tracache.models.loading import load_model
from tracache.report import Event, StepDone
from tracache.request import Request
from tracache.settings import Settings

#: Previews are for eyes: more often would take time from what is being measured.
SECONDS_BETWEEN_PREVIEWS = 0.25

#: What a shared GPU is asked for, seconds: for each model, what a step of full compute takes on an
#: H200 slice, generously, and what goes before and after.
STEP_S = {"text-to-image": 0.15, "class-to-image": 0.1, "text-to-video": 4.0}
SPARE_S = 15.0
MOST_S = 120


def run_on_gpu(asked: Request, settings: Settings) -> Generator[Event, None, None]:
    """Load the model, which is quick where it was loaded before, and yield what happens.

    Whatever is yielded can be pickled, since it may come from another process.

    Parameters
    ----------
    asked : Request
        What to run.
    settings : Settings
        Of the process.
    """
    shown = 0.0
    for event in compare(load_model(asked.model, settings), asked):
        if isinstance(event, StepDone):
            now, glimpse = time.monotonic(), event.glimpse
            if glimpse is not None and now - shown >= SECONDS_BETWEEN_PREVIEWS:
                shown, glimpse = now, glimpse.portable()
            else:
                glimpse = None
            event = replace(event, glimpse=glimpse)
        yield event


def seconds_needed(asked: Request, settings: Settings) -> int:
    """How long a run may take on a shared GPU; what is not used is not charged."""
    # Every arm, at worst in full, and one more run to watch every block.
    steps = asked.steps * (len(asked.arms) + int(asked.trace))
    return min(MOST_S, int(SPARE_S + steps * STEP_S[asked.spec.task]))


def shared_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function run on ZeroGPU where that is; elsewhere it stays as it is."""
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(duration=seconds_needed)(function)
