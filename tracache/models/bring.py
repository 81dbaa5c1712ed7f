"""Pipelines that the registry does not know: a repository of the Hub, or a folder, of the host's.

Everything is settled by ``model_index.json`` and the names and sizes of files, before any weights
are downloaded or read; code that comes with a repository is refused and never run. Only whoever
runs the process brings a model: on the command line, or in ``TRACACHE_MODELS``. Visitors choose
among what is listed.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import transformers
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from tracache.caching.config import TraCacheConfig
from tracache.media import VideoSize
from tracache.models.failures import explain
from tracache.models.families.stock import READING, STOCK, guidance_name
from tracache.models.registry import MODELS
from tracache.models.schedulers import AS_PUBLISHED
from tracache.models.spec import GB, Footprint, ModelSpec
from tracache.settings import Settings

#: Begins the name of a repository of the Hub.
HUB = "hub:"

INDEX = "model_index.json"

#: What a call that begins with something else than words takes.
_BEGINNINGS = ("image", "images", "video", "mask_image", "control_image", "audio")

#: Where a call says nothing: side of an image; height, width and frames of a video, and its rate.
_IMAGE, _VIDEO, _FPS = 1024, (480, 720, 49), 16.0

#: Memory beside the weights that a million pixels take, GB; of the registry's models, the most.
_WORKING = {False: 5.0, True: 0.5}


class RefusedError(ValueError):
    """A pipeline cannot be brought along; the message says why."""


def is_brought(name: str) -> bool:
    """Whether a name is that of a repository or a folder, rather than of the registry."""
    known = not name or name in MODELS
    return name.startswith(HUB) or (not known and Path(name).is_dir())


def bring(name: str, settings: Settings) -> ModelSpec:
    """List a pipeline, and return its entry: ``hub:owner/name``, or ``folder:name``.

    Parameters
    ----------
    name : str
        ``hub:owner/name``, or a folder.
    settings : Settings
        Of the process.

    Raises
    ------
    RefusedError
        If it is no pipeline that can be driven here, or what it holds cannot be had; the message
        says why. Nothing but small files has been read then.
    """
    model_id = id_of(name)
    if model_id not in MODELS:
        title, on_hub = name.removeprefix(HUB), name.startswith(HUB)
        try:
            MODELS[model_id] = _enter(_look(name, settings))
        except RefusedError:
            raise
        except Exception as error:
            raise RefusedError(explain(error, title, title, on_hub)) from error
    spec = MODELS[model_id]
    if spec.refused:
        raise RefusedError(spec.refused)
    if not name.startswith(HUB) and spec.source != str(Path(name).resolve()):
        raise RefusedError(f"{name} and {spec.source} are two folders of one name: rename one")
    return spec


def id_of(name: str) -> str:
    """Return the name under which a repository or a folder is listed; no one's folders show."""
    return name if name.startswith(HUB) else f"folder:{Path(name).resolve().name}"


def bring_all(settings: Settings) -> None:
    """List what the host brings; a pipeline that is refused is listed with the reason."""
    for name in settings.brought:
        try:
            bring(name, settings)
        except RefusedError as error:
            model_id, source = id_of(name), name.removeprefix(HUB)
            title = source if name.startswith(HUB) else Path(source).name
            MODELS.setdefault(model_id, _entry(model_id, source, title, "", refused=str(error)))


@dataclass(frozen=True)
class _Seen:
    """What is known of a pipeline without its weights."""

    id: str
    source: str
    index: Mapping[str, Any]
    denoiser: Mapping[str, Any]
    #: File → bytes.
    files: Mapping[str, int]


def _look(name: str, settings: Settings) -> _Seen:
    """Read a pipeline's index, and list its files."""
    if not name.startswith(HUB):
        folder = Path(name).resolve()
        if not (folder / INDEX).is_file():
            raise RefusedError(f"{name} is no pipeline of diffusers: it has no {INDEX}")
        files = {
            file.relative_to(folder).as_posix(): file.stat().st_size
            for file in folder.rglob("*")
            if file.is_file()
        }
        return _Seen(id_of(name), str(folder), _parse(folder / INDEX), _config(folder), files)
    repo = name.removeprefix(HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise RefusedError(f"{name!r} names no repository of the Hub: write hub:owner/name")
    if settings.models is not None and (settings.models / repo / INDEX).is_file():
        seen = _look(str(settings.models / repo), settings)
        return _Seen(name, repo, seen.index, seen.denoiser, seen.files)
    try:
        index = _parse(Path(huggingface_hub.hf_hub_download(repo, INDEX)))
    except LocalEntryNotFoundError:
        # A kind of the next, though it says that nobody could be asked.
        raise
    except EntryNotFoundError as error:
        raise RefusedError(f"{repo} is no pipeline of diffusers: it has no {INDEX}") from error
    # Before anything else is asked for.
    _check(repo, index)
    denoiser: Mapping[str, Any] = {}
    for part in ("transformer", "unet"):
        if part in index:
            file = huggingface_hub.hf_hub_download(repo, f"{part}/config.json")
            denoiser = _parse(Path(file))
    files = {} if constants.is_offline_mode() else _sizes(repo)
    return _Seen(name, repo, index, denoiser, files)


def _sizes(repo: str) -> dict[str, int]:
    info = huggingface_hub.HfApi().model_info(repo, files_metadata=True)
    return {file.rfilename: file.size or 0 for file in info.siblings or []}


def _config(folder: Path) -> dict[str, Any]:
    files = (folder / part / "config.json" for part in ("transformer", "unet"))
    return next((_parse(file) for file in files if file.is_file()), {})


def _parse(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise RefusedError(f"{file.name} of {file.parent.name} is no configuration")
    return found


def _check(name: str, index: Mapping[str, Any]) -> Any:
    """Return the class of a pipeline, if it and all of its parts are the libraries' own."""
    given = index.get("_class_name")
    if not isinstance(given, str):
        raise RefusedError(f"{name} comes with code of its own ({given}), which is never run")
    cls = getattr(diffusers, given, None)
    if not (inspect.isclass(cls) and issubclass(cls, diffusers.DiffusionPipeline)):
        raise RefusedError(f"{name} is a {given}, which this version of diffusers does not have")
    for part, entry in index.items():
        if not isinstance(entry, list) or entry in ([None, None], []):
            continue
        library, kind = entry[:2]
        if kind is not None and not _is_known(library, kind):
            raise RefusedError(
                f"{name} comes with code of its own for its {part} ({library}.{kind}), which is "
                "never run"
            )
    takes = inspect.signature(cls.__call__).parameters
    begins = [word for word in _BEGINNINGS if word in takes]
    if "prompt" not in takes or begins:
        what = f"begins with its {begins[0]}" if begins else "takes no prompt"
        raise RefusedError(f"{name} is a {given}, which {what}: only text is turned into pictures")
    return cls


def _is_known(library: Any, kind: str) -> bool:
    """Whether a class is one of diffusers or transformers, or of a pipeline of diffusers."""
    if library in ("diffusers", "transformers"):
        return hasattr(diffusers if library == "diffusers" else transformers, kind)
    return isinstance(library, str) and hasattr(diffusers.pipelines, library)


def _enter(seen: _Seen) -> ModelSpec:
    name = seen.source if seen.id.startswith(HUB) else Path(seen.source).name
    cls = _check(name, seen.index)
    takes = inspect.signature(cls.__call__).parameters
    weights = _weights(seen)
    if seen.files and not weights:
        raise RefusedError(
            f"{name} has no weights in safetensors, and none of another kind are read: those may "
            "hold code"
        )

    def default(word: str, otherwise: Any) -> Any:
        value = takes[word].default if word in takes else None
        return otherwise if value is None or value is inspect.Parameter.empty else value

    video = "num_frames" in takes
    if video:
        asked = zip(("height", "width", "num_frames"), _VIDEO, strict=True)
        height, width, frames = (default(*side) for side in asked)
        size: int | VideoSize = VideoSize(height, width, frames, _FPS)
    else:
        size = default("height", _side(seen))
    guidance = guidance_name(takes)
    return _entry(
        seen.id,
        seen.source,
        name,
        f"A {cls.__name__} that the host of this page brings along.",
        size=size,
        pipeline=cls.__name__,
        denoiser="unet" if "unet" in seen.index else "transformer",
        task="text-to-video" if video else "text-to-image",
        steps=min(int(default("num_inference_steps", 30)), 100),
        guidance_scale=float(default(guidance, 4.0)) if guidance else 4.0,
        max_tokens=int(default("max_sequence_length", 256)),
        footprint=_footprint(seen, weights, size),
    )


def _entry(model_id: str, source: str, name: str, summary: str, **fields: Any) -> ModelSpec:
    common: dict[str, Any] = {
        "embedded": False,
        "family": STOCK,
        "schedulers": (AS_PUBLISHED,),
        "cache": TraCacheConfig(),
        "size": _IMAGE,
        "steps": 30,
        "guidance_scale": 4.0,
        "max_tokens": 256,
        "max_prompt_length": 800,
        "example_prompts": ("a red fox asleep in fresh snow under a birch, early morning light",),
        "note": "Brought along by the host: nobody has looked at its defaults.",
    }
    title = f"{name} (brought along)"
    return ModelSpec(id=model_id, source=source, title=title, summary=summary, **common | fields)


def _side(seen: _Seen) -> int:
    """Height and width of an image, by the size of the latents that its denoiser was made for."""
    latents = seen.denoiser.get("sample_size")
    vae = seen.index.get("vae") or [None, None]
    factor = 32 if vae[1] == "AutoencoderDC" else 8
    return latents * factor if isinstance(latents, int) else _IMAGE


def _weights(seen: _Seen) -> dict[str, int]:
    """Bytes of the weights of each part, of one variant."""
    weights: dict[str, int] = {}
    for file, size in seen.files.items():
        part, _, rest = file.partition("/")
        if part in seen.index and rest.endswith(".safetensors") and not _VARIANT.search(rest):
            weights[part] = weights.get(part, 0) + size
    return weights


#: Of a file in another format than the first: model.fp16.safetensors.
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|int8|fp8)[.-]")


def _footprint(seen: _Seen, weights: Mapping[str, int], size: int | VideoSize) -> Footprint:
    """What it takes, its weights counted as half precision; too much where they are not."""

    def billions(*parts: str) -> float:
        return sum(size for part, size in weights.items() if part.startswith(parts)) / 2 / GB

    video = isinstance(size, VideoSize)
    pixels = size.height * size.width * size.frames if isinstance(size, VideoSize) else size**2
    encoder, vae = billions(*READING), billions("vae")
    rest = sum(weights.values()) / 2 / GB - encoder - vae
    working = 1.0 + _WORKING[video] * pixels / 1e6
    return Footprint(rest, encoder, vae, working, sum(weights.values()) / GB)
