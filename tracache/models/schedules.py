"""A run's noise schedule, known before its model is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub

from tracache.media import VideoSize
from tracache.models.pipeline_shapes import set_timesteps
from tracache.models.pipelines import PIPELINES
from tracache.models.published import NOISE_SCHEDULE
from tracache.models.schedulers import make_scheduler
from tracache.models.sources import locate
from tracache.models.spec import ModelSpec
from tracache.settings import Settings


def scheduler_of_run(
    spec: ModelSpec, name: str, num_steps: int, size: int | VideoSize, settings: Settings
) -> Any:
    """Return a scheduler with the timesteps of a run, as the model's pipeline would set them.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    name : str
        The scheduler, of the model's.
    num_steps : int
        Steps of the run.
    size : int or VideoSize
        Of the picture; some videos' steps depend on it.
    settings : Settings
        Where the models' files are; what the Hub has of a model that is not here is known.

    Raises
    ------
    OSError
        If a folder of the model lacks its configuration.
    ValueError
        If how its steps are spaced shows only when it runs.
    """
    if spec.stock:
        return _of_pipeline(spec, name, num_steps, size, settings)
    source = locate(spec, settings)
    index: dict[str, Any] = {}
    config: dict[str, Any] = {} if spec.makes_video else dict(NOISE_SCHEDULE)
    if not spec.further:
        index = _read(source, spec.index) or index
        config = _read(source, "scheduler/scheduler_config.json") or config
    scheduler = make_scheduler(name, config)
    spec.family.set_timesteps(scheduler, num_steps, size, index)
    return scheduler


def _of_pipeline(
    spec: ModelSpec, name: str, num_steps: int, size: int | VideoSize, settings: Settings
) -> Any:
    if spec.source not in PIPELINES:
        raise ValueError(f"how {spec.title} spaces its steps is known once it runs")
    published = PIPELINES[spec.source]
    cls, config = published.scheduler
    there = _read(locate(spec, settings), "scheduler/scheduler_config.json")
    scheduler = make_scheduler(name, there or {**config, "_class_name": cls})
    set_timesteps(published, scheduler, num_steps, size)
    return scheduler


def _read(source: Path | str, name: str) -> dict[str, Any] | None:
    """A file of a folder, or of what is downloaded of a repository; None where that is not here."""
    if isinstance(source, str):
        found = huggingface_hub.try_to_load_from_cache(source, name)
        if not isinstance(found, str):
            return None
        return json.loads(Path(found).read_text("utf-8"))
    return json.loads((source / name).read_text("utf-8"))
