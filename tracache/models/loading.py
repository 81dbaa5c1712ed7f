"""Loads a model of the registry onto a device, or says why it cannot."""

from __future__ import annotations

import gc
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tracache.models.failures import explain
from tracache.models.placement import (
    DoesNotFitError,
    Placement,
    choose_placement,
    free_memory,
    pick_dtype,
)
from tracache.models.reading import Reader
from tracache.models.registry import find_model
from tracache.models.sources import locate_all, missing
from tracache.models.spec import ModelSpec
from tracache.models.teams import release_team
from tracache.settings import Settings

DEVICES = ("cuda", "mps", "cpu")


class ModelUnavailableError(RuntimeError):
    """A model cannot be loaded here; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to run; equal to itself alone.

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
    placement : Placement
        Where its parts are while it runs.
    reader : Reader
        Reads prompts, wherever the text encoder is.
    lock : threading.Lock
        Held by whoever runs it. Models on one device share it: what else runs there would spoil
        the times.
    """

    spec: ModelSpec
    pipe: Any
    scheduler_config: Any
    device: torch.device
    dtype: torch.dtype
    placement: Placement
    reader: Reader
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def weights_on(self, kind: str) -> int:
        """Bytes of its weights on a kind of device, such as ``cpu``."""
        parts = [*self.pipe.components.values(), *self.reader.kept_components]
        modules = [part for part in parts if isinstance(part, torch.nn.Module)]
        return sum(p.nbytes for m in modules for p in m.parameters() if p.device.type == kind)

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
    device = pick_device(settings.device)
    return _SHELF.get(_key(spec, settings, device), lambda: _load(spec, settings, device))


def why_unavailable(model_id: str, settings: Settings) -> str:
    """Say why a model cannot run here; empty if nothing speaks against it.

    Nothing is loaded for it and nobody is asked: a repository that is gone shows when it is first
    wanted, and is remembered.
    """
    spec = find_model(model_id)
    try:
        require_available(model_id, settings)
    except (ModelUnavailableError, ValueError) as error:
        return str(error)
    return _SHELF.failures.get(_key(spec, settings, pick_device(settings.device)), "")


def require_available(model_id: str, settings: Settings) -> None:
    """Raise where it is plain that a model cannot run here.

    Raises
    ------
    ValueError
        If there is no such model or device.
    ModelUnavailableError
        If its files cannot be had, or it does not fit.
    """
    spec = find_model(model_id)
    device = pick_device(settings.device)
    if not _SHELF.holds(_key(spec, settings, device)):
        _check(spec, settings, device)


@dataclass(frozen=True)
class _Key:
    """What makes two requests for a model the same."""

    model_id: str
    sources: tuple[Path | str, ...]
    device: str
    dtype: torch.dtype


def _key(spec: ModelSpec, settings: Settings, device: torch.device) -> _Key:
    return _Key(spec.id, locate_all(spec, settings), str(device), _dtype(spec, settings, device))


def _dtype(spec: ModelSpec, settings: Settings, device: torch.device) -> torch.dtype:
    """The project's own models are so small that they always run in float32."""
    return torch.float32 if spec.footprint is None else pick_dtype(device, settings.dtype)


class _Shelf:
    """The models in memory: those of the project, and the last one of the Hub."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[_Key, LoadedModel] = {}
        self.failures: dict[_Key, str] = {}

    def holds(self, key: _Key) -> bool:
        """Whether a model is in memory."""
        return key in self._models

    def reclaimable(self, kind: str) -> int:
        """Bytes of weights on a kind of device that go when another model of the Hub comes."""
        return sum(m.weights_on(kind) for m in list(self._models.values()) if not m.spec.embedded)

    def get(self, key: _Key, load: Callable[[], LoadedModel]) -> LoadedModel:
        """Return the model, loaded if need be; what fails is remembered, and tried again."""
        with self._lock:
            if key in self._models:
                return self._models[key]
            if not find_model(key.model_id).embedded:
                # Two of them at once would need the memory of both.
                for other in [k for k, m in self._models.items() if not m.spec.embedded]:
                    del self._models[other]
                free_unused()
            try:
                self._models[key] = load()
            except ModelUnavailableError as error:
                self.failures[key] = str(error)
                raise
            self.failures.pop(key, None)
            return self._models[key]


_SHELF = _Shelf()

#: One a device.
_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def _check(spec: ModelSpec, settings: Settings, device: torch.device) -> Placement:
    """Return the placement, or raise why a model cannot be loaded as far as can be told."""
    if settings.space and device.type == "cpu" and not spec.embedded:
        # It would fit, and then download for minutes and run for more, beside other visitors.
        raise ModelUnavailableError(
            f"{spec.title} needs a GPU, which this Space does not have: duplicate the Space and "
            "choose hardware with a GPU, or run TraCache on a machine of your own"
        )
    if reason := missing(spec, settings):
        raise ModelUnavailableError(reason)
    try:
        device_memory, host_memory = free_memory(device)
        # What makes way for this model is as good as free.
        host_memory += _SHELF.reclaimable("cpu")
        if device_memory is not None:
            device_memory += _SHELF.reclaimable(device.type)
        width = _dtype(spec, settings, device).itemsize
        return choose_placement(device_memory, host_memory, spec, width)
    except DoesNotFitError as error:
        raise ModelUnavailableError(str(error)) from error


def _load(spec: ModelSpec, settings: Settings, device: torch.device) -> LoadedModel:
    placement = _check(spec, settings, device)
    sources = locate_all(spec, settings)
    source, offline = " and ".join(map(str, sources)), all(isinstance(s, Path) for s in sources)
    dtype = _dtype(spec, settings, device)
    family = spec.family

    def load_pipe(wide: torch.dtype, without: Sequence[str]) -> Any:
        try:
            return family.load(sources, wide, offline, without)
        except Exception as error:
            reason = explain(error, spec.title, source, not offline)
            raise ModelUnavailableError(reason) from error

    def load_encoder() -> Any:
        return load_pipe(placement.encoder_dtype or dtype, ("transformer", "vae"))

    pipe = load_pipe(dtype, () if placement.kind == "whole" else family.encoders)
    try:
        pipe.to(device)
    except (RuntimeError, MemoryError) as error:
        reason = explain(error, spec.title, source, not offline)
        raise ModelUnavailableError(reason) from error
    pipe.set_progress_bar_config(disable=True)
    # It runs in another thread, as a rule.
    release_team()
    reader = Reader(family, pipe, placement, load_encoder, device, dtype)
    lock = _LOCKS[str(device)]
    config = {**pipe.scheduler.config, "_class_name": type(pipe.scheduler).__name__}
    return LoadedModel(spec, pipe, config, device, dtype, placement, reader, lock)


def free_unused() -> None:
    """Give back memory that nothing holds any more, the device's too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
