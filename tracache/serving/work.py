"""What the page asks for, done where the model is: generators of what can be pickled.

Each takes what is asked and the settings of the process that does it, and leaves nothing behind in
it but loaded models. None of them knows who asked, or from where.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

import torch

from tracache.caching.config import BLOCKS
from tracache.compare.comparison import compare
from tracache.compare.events import Event, Stage, StepDone
from tracache.compare.request import Request
from tracache.experiments.block_path import block_path
from tracache.experiments.watching import watch
from tracache.models.bring import bring_all
from tracache.models.loading import (
    ModelUnavailableError,
    free_unused,
    load_model,
    why_unavailable,
)
from tracache.models.registry import MODELS
from tracache.models.sources import downloads
from tracache.models.teams import release_team
from tracache.settings import Settings

log = logging.getLogger(__name__)

#: Previews are for eyes: more often would take time from what is being measured.
SECONDS_BETWEEN_PREVIEWS = 0.25


@dataclass(frozen=True)
class About:
    """Where the work is done, and what can be done there.

    Attributes
    ----------
    device, dtype : str
        In words; empty if the first model cannot be loaded.
    unavailable : dict
        Model → why it cannot run there; models that can are left out.
    """

    device: str
    dtype: str
    unavailable: dict[str, str]


@dataclass(frozen=True)
class BlockPath:
    """A block's path, drawn.

    Attributes
    ----------
    figure : plotly figure
        The error of each way over the steps, and the true and the predicted path.
    away : dict
        Way → its mean relative error where it predicts.
    """

    figure: Any
    away: dict[str, float]


@dataclass(frozen=True)
class Quiet:
    """Nothing came for a while: whoever waits can look whether it should wait any longer."""


@dataclass(frozen=True)
class Failure:
    """The error that ended some work, on its way to another process."""

    error: Exception


def run_comparison(request: Request, settings: Settings) -> Generator[Event, None, None]:
    """Load the model, which is quick where it was loaded before, and compare the arms."""
    message = f"Loading {request.spec.title}"
    if request.spec.footprint is not None and downloads(request.spec, settings):
        message = f"Downloading {request.spec.title}, {request.spec.footprint.download_gb:g} GB"
    yield Stage("load", message)
    shown = 0.0
    model = load_model(request.model, settings)
    for event in compare(model, request, settings):
        if isinstance(event, StepDone):
            now, glimpse = time.monotonic(), event.glimpse
            if glimpse is not None and now - shown >= SECONDS_BETWEEN_PREVIEWS:
                shown, glimpse = now, glimpse.portable()
            else:
                glimpse = None
            event = replace(event, glimpse=glimpse)
        yield event


def draw_path(request: Request, block: int, settings: Settings) -> Generator[BlockPath, None, None]:
    """Run full compute once more, untimed, and draw a block's path beside what it is foretold.

    Raises
    ------
    ValueError
        If there is no such block, or its features would not fit.
    """
    model = load_model(request.model, settings)
    with model.lock:
        watched = watch(model, request, [block], parts=False)
    release_team()
    cache = request.cache if request.cache.stride != "auto" else replace(request.cache, stride=3)
    yield BlockPath(*block_path(watched, replace(cache, last_step=False, space=BLOCKS)))


def introduce(first: str, settings: Settings) -> Generator[About, None, None]:
    """Load the model that will be wanted first, and say what else can run here."""
    try:
        model = load_model(first, settings)
        device, dtype = model.device_name, model.dtype_name
    except ModelUnavailableError as error:
        log.warning("%s", error)
        device = dtype = ""
    reasons = {name: why_unavailable(name, settings) for name in MODELS}
    yield About(device, dtype, {name: why for name, why in reasons.items() if why})


#: Everything that may be asked for, by name, since names travel between processes.
WORK: dict[str, Callable[..., Generator[Any, None, None]]] = {
    "compare": run_comparison,
    "path": draw_path,
    "introduce": introduce,
}


def do(name: str, arguments: tuple[Any, ...], settings: Settings) -> Generator[Any, None, None]:
    """Do some work for another process: what ends it comes as the last of its values."""
    failure = None
    # In a process of its own, whose registry knows nothing of them.
    bring_all(settings)
    try:
        yield from WORK[name](*arguments, settings)
    except GeneratorExit:
        raise
    except (ModelUnavailableError, ValueError) as error:
        failure = Failure(portable(error))
    except Exception as error:
        # The one who asked hears only the last line of this.
        log.exception("%s failed", name)
        failure = Failure(portable(error))
    if failure is not None:
        # Here the traceback no longer holds the tensors that may have filled the memory.
        free_unused()
        yield failure


def portable(error: Exception) -> Exception:
    """Return an error as it can travel: itself without its traceback, or else its words."""
    error = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        kind = MemoryError if out_of_memory else RuntimeError
        return kind(f"{type(error).__name__}: {error}")
    return error
