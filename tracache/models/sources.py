"""Where a model's files are, and what is known of it before anything is loaded."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants

from tracache.models.labels import Labels, imagenet
from tracache.models.spec import GB, ModelSpec
from tracache.settings import Settings, without_assets


def locate(spec: ModelSpec, settings: Settings) -> Path | str:
    """Return a model's folder, or its repository on the Hub; the first of several.

    A model of the Hub that lies in ``settings.models``, under its repository's name, is taken
    from there.
    """
    return locate_all(spec, settings)[0]


def locate_all(spec: ModelSpec, settings: Settings) -> tuple[Path | str, ...]:
    """Return every folder or repository of a model, each as :func:`locate` says."""
    return tuple(_locate(source, spec, settings) for source in spec.sources)


def _locate(source: str, spec: ModelSpec, settings: Settings) -> Path | str:
    if spec.embedded:
        return settings.assets / source
    if Path(source).is_absolute():
        return Path(source)
    if settings.models is not None and (settings.models / source / spec.index).is_file():
        return settings.models / source
    return source


def labels_of(spec: ModelSpec, settings: Settings) -> Labels | None:
    """Return the names of a model's classes; None where it has none, or they are not here.

    They are the pipeline's own ``id2label`` where its files are here, else those that the registry
    says it has.
    """
    if spec.task != "class-to-image":
        return None
    source = locate(spec, settings)
    index = source / spec.index if isinstance(source, Path) else _cached(source, spec)
    found = Labels.from_index(index) if index is not None else None
    return found or (imagenet() if spec.classes == "imagenet" else None)


def missing(spec: ModelSpec, settings: Settings) -> str:
    """Say why a model's files cannot be had; empty where they are here or may be downloaded."""
    if spec.refused:
        return spec.refused
    sources = locate_all(spec, settings)
    for source in sources:
        if isinstance(source, Path) and not (source / spec.index).is_file():
            return without_assets(spec.title, source.parent)
        if spec.embedded and (pickled := _pickled(Path(source))):
            # The library would load them where its first choice is not there.
            return (
                f"{spec.title} could not be loaded: the project's own weights are safetensors, and "
                f"{pickled.name} in {pickled.parent} is not; remove it"
            )
    absent = [s for s in sources if isinstance(s, str) and _cached(s, spec) is None]
    if constants.is_offline_mode() and absent:
        return (
            f"{spec.title} could not be loaded: {' and '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} not downloaded and the Hub is switched "
            "off here; unset HF_HUB_OFFLINE, or put the files into TRACACHE_MODELS"
        )
    return _disk(spec, sources)


def _pickled(folder: Path) -> Path | None:
    """Return a file of a kind that may run code when it is loaded."""
    kinds = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}
    return next((file for file in sorted(folder.rglob("*")) if file.suffix in kinds), None)


def downloads(spec: ModelSpec, settings: Settings) -> bool:
    """Whether loading the model starts with a download."""
    sources = locate_all(spec, settings)
    return any(isinstance(s, str) and _cached(s, spec) is None for s in sources)


def _cached(repo: str, spec: ModelSpec) -> Path | None:
    """Return the downloaded index of a repository."""
    found = huggingface_hub.try_to_load_from_cache(repo, spec.index)
    return Path(found) if isinstance(found, str) else None


def _disk(spec: ModelSpec, sources: Sequence[Path | str]) -> str:
    """Say how much disk is lacking for the rest of a download."""
    if spec.footprint is None or all(isinstance(source, Path) for source in sources):
        return ""
    cache = Path(constants.HF_HUB_CACHE)
    folders = [
        source if isinstance(source, Path) else cache / f"models--{source.replace('/', '--')}/blobs"
        for source in sources
    ]
    files = [file for folder in folders if folder.is_dir() for file in folder.rglob("*")]
    there = sum(file.stat().st_size for file in files if file.is_file())
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


def digest_of(spec: ModelSpec, settings: Settings) -> str:
    """Return :func:`weights_digest` of a model that comes with the project; empty of others."""
    return weights_digest(settings.assets / spec.source) if spec.embedded else ""


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a transformer's weights: what ties figures to what they are of."""
    digest = hashlib.sha256()
    for part in sorted(folder.glob("transformer/*.safetensors")):
        digest.update(part.read_bytes())
    return digest.hexdigest()
