"""Loads a model of the registry onto a device, or says why it cannot."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from tracache.models.registry import ModelSpec, find_model
from tracache.settings import Settings

DEVICES = ("cuda", "mps", "cpu")


class ModelUnavailableError(RuntimeError):
    """A model cannot be loaded here; the message says why and what to do."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run.

    Attributes
    ----------
    spec : ModelSpec
        Its entry in the registry.
    pipe : DiffusionPipeline
        The pipeline, on the device.
    scheduler_config : mapping
        Of the scheduler that the model came with; every run makes its own from it.
    device, dtype : torch.device, torch.dtype
        Where it computes, and in which format.
    lock : threading.Lock
        Held by whoever runs it: a pipeline serves one run at a time.
    """

    spec: ModelSpec
    pipe: Any
    scheduler_config: Any
    device: torch.device
    dtype: torch.dtype
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def device_name(self) -> str:
        """The device in words."""
        return describe_device(self.device)

    @property
    def dtype_name(self) -> str:
        """The format in words, such as ``float32``."""
        return str(self.dtype).removeprefix("torch.")


def load_model(model_id: str, settings: Settings | None = None) -> LoadedModel:
    """Load a model; the same model, assets and device give the same object again.

    Parameters
    ----------
    model_id : str
        A key of the registry.
    settings : Settings, optional
        Where the assets are and which device to use; from the environment if not given.

    Raises
    ------
    ValueError
        If there is no such model or device.
    ModelUnavailableError
        If it cannot be loaded; the message says why and what to do.
    """
    settings = settings or Settings.from_environment()
    spec = find_model(model_id)
    return _load(spec.id, settings.assets, str(pick_device(settings.device)))


@lru_cache(maxsize=2)
def _load(model_id: str, assets: Path, device: str) -> LoadedModel:
    spec = find_model(model_id)
    folder = assets / spec.source
    if spec.embedded and not (folder / "model_index.json").is_file():
        raise ModelUnavailableError(
            f"{spec.title} is not in {assets}: clone the whole repository, or train it with "
            "python -m tracache.embedded.train"
        )
    dtype = torch.float32
    try:
        pipe = spec.family.load(folder if spec.embedded else spec.source, dtype, spec.embedded)
        pipe.to(device)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelUnavailableError(f"{spec.title} could not be loaded: {error}") from error
    pipe.set_progress_bar_config(disable=True)
    return LoadedModel(spec, pipe, pipe.scheduler.config, torch.device(device), dtype)


def pick_device(name: str | None = None) -> torch.device:
    """Return the device of that name, or the best there is: CUDA, else MPS, else CPU.

    Raises
    ------
    ValueError
        If the name is unknown or the device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None:
        return torch.device(next(device for device in DEVICES if there[device]))
    kind, _, index = name.partition(":")
    if kind not in there or (index and not index.isdigit()):
        raise ValueError(f"unknown device {name!r}; choose from {', '.join(DEVICES)}")
    if not there[kind]:
        have = ", ".join(device for device in DEVICES if there[device])
        raise ValueError(f"no {kind} device here; there is {have}")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """Return a device in words, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    threads = torch.get_num_threads()
    return f"CPU ({threads} thread{'s' if threads != 1 else ''})"
