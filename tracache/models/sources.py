"""Where a model's files are, and what is known of it before anything is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants

from tracache.models.labels import Labels, imagenet
from tracache.models.memory import GB
from tracache.models.registry import ModelSpec
from tracache.settings import Settings

INDEX = "model_index.json"


def locate(spec: ModelSpec, settings: Settings) -> Path | str:
    """Return a model's folder, or its repository on the Hub.

    A model of the Hub that lies in ``settings.models``, under its repository's name, is taken
    from there.
    """
    if spec.embedded:
        return settings.assets / spec.source
    if settings.models is not None and (settings.models / spec.source / INDEX).is_file():
        return settings.models / spec.source
    return spec.source


def labels_of(spec: ModelSpec, settings: Settings) -> Labels | None:
    """Return the names of a model's classes; None where it has none, or they are not here.

    They are the pipeline's own ``id2label`` where its files are here, else those that the registry
    says it has.
    """
    if spec.task != "class-to-image":
        return None
    source = locate(spec, settings)
    index = source / INDEX if isinstance(source, Path) else _cached(source)
    found = Labels.from_index(index) if index is not None else None
    return found or (imagenet() if spec.classes == "imagenet" else None)


def missing(spec: ModelSpec, settings: Settings) -> str:
    """Say why a model's files cannot be had; empty where they are here or may be downloaded."""
    source = locate(spec, settings)
    if isinstance(source, Path):
        if (source / INDEX).is_file():
            return ""
        return (
            f"{spec.title} is not in {source.parent}: clone the whole repository, or train it with "
            "python -m tracache.embedded.train"
        )
    if constants.is_offline_mode() and _cached(source) is None:
        return (
            f"{spec.title} could not be loaded: {source} is not downloaded and the Hub is switched "
            "off here; unset HF_HUB_OFFLINE, or put the files into TRACACHE_MODELS"
        )
    return _disk(spec, source)


def downloads(spec: ModelSpec, settings: Settings) -> bool:
    """Whether loading the model starts with a download."""
    source = locate(spec, settings)
    return isinstance(source, str) and _cached(source) is None


def _cached(repo: str) -> Path | None:
    """Return the downloaded index of a repository."""
    found = huggingface_hub.try_to_load_from_cache(repo, INDEX)
    return Path(found) if isinstance(found, str) else None


def _disk(spec: ModelSpec, repo: str) -> str:
    """Say how much disk is lacking for the rest of a download."""
    if spec.footprint is None:
        return ""
    cache = Path(constants.HF_HUB_CACHE)
    blobs = cache / f"models--{repo.replace('/', '--')}" / "blobs"
    there = sum(file.stat().st_size for file in blobs.glob("*")) if blobs.is_dir() else 0
    need = int(spec.footprint.download_gb * GB) - there
    root = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(root).free
    # A repository may hold less than was thought: what is almost there is let through.
    if need <= free or there >= 0.9 * spec.footprint.download_gb * GB:
        return ""
    return (
        f"{spec.title} does not fit on the disk: {need / GB:.1f} GB are still to be downloaded, "
        f"and {free / GB:.1f} GB are free in {root}; free some space, or set HF_HOME to a folder "
        "on another disk"
    )
