"""Any text-to-image or text-to-video pipeline of diffusers, driven by its own call.

Nothing here knows a model. A pipeline says by the signature of its call what it takes, and by the
methods that all of them have where one part of its work ends: ``encode_prompt``,
``prepare_latents``, the loop over ``scheduler.timesteps``. What every arm shares is done once and
handed out again, by wrapping these methods of the one pipeline for the length of a call.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from tracache.caching.wrapping import wrap_method
from tracache.media import Picture, Video, VideoSize
from tracache.models.words import require_words

#: Words in the names of components that only the prompt needs.
READING = ("text_encoder", "tokenizer", "text_processor", "image_encoder", "feature_extractor")

#: What a call should have as it is said here, where a pipeline takes it: the very size that is
#: asked for, not the nearest one that it was trained on.
PLAIN = {"use_resolution_binning": False}

#: Where a prompt's encoding ends up among what :meth:`StockFamily.encode` returns.
READ = "read"

#: Where there may be what a call takes in place of prompts.
EMBEDDED = "embedded"


class _EnoughError(Exception):
    """Ends a call whose beginning alone was wanted."""


class StockFamily:
    """Drives any pipeline; see :class:`~tracache.models.families.base.Family`.

    Its noise is the pipeline's own, drawn from the request's generators: an arm's result is that
    of a plain call of the pipeline, whatever its scheduler.

    Parameters
    ----------
    negative_prompt : str, default ""
        What guidance leads away from, where a request does not say.
    tiled : bool, default False
        Whether the autoencoder decodes piece by piece, where it can.
    **arguments
        Further arguments of every call.
    """

    #: Components that are needed only to read the prompt, as far as a pipeline has them.
    encoders: tuple[str, ...] = tuple(
        f"{name}{number}" for name in READING for number in ("", "_2", "_3", "_4")
    )

    def __init__(self, negative_prompt: str = "", tiled: bool = False, **arguments: Any) -> None:
        self._negative = negative_prompt
        self._tiled = tiled
        self._arguments = arguments

    def load(
        self,
        sources: Sequence[str | Path],
        dtype: torch.dtype,
        offline: bool,
        without: Sequence[str] = (),
    ) -> Any:
        """Load the pipeline; ``offline`` refuses to ask the Hub. Its weights must be safetensors.

        Without the transformer nothing is loaded but what reads prompts; of what does not, the
        pipeline then has the configurations.
        """
        source = sources[0]
        index = DiffusionPipeline.load_config(source, local_files_only=offline)
        parts = [name for name, entry in index.items() if isinstance(entry, list)]
        absent = [name for name in parts if name in without]
        if "transformer" in without:
            absent = [name for name in parts if name not in (*self.encoders, "scheduler")]
        pipe = DiffusionPipeline.from_pretrained(
            source,
            dtype=dtype,
            local_files_only=offline,
            use_safetensors=True,
            **dict.fromkeys(absent),
        )
        for name in ("transformer", "unet", "transformer_2", "vae"):
            if name in absent and isinstance(source, Path) and (source / name).is_dir():
                config = json.loads((source / name / "config.json").read_text(encoding="utf-8"))
                # Not registered: it is no component, and moves nowhere.
                vars(pipe)[name] = SimpleNamespace(config=SimpleNamespace(**config), dtype=dtype)
        if self._tiled and hasattr(pipe.vae, "enable_tiling"):
            pipe.vae.enable_tiling()
        for name in parts:
            if name.startswith("tokenizer"):
                require_words(getattr(pipe, name, None))
        return pipe

    def encode(
        self,
        pipe: Any,
        prompts: Sequence[Any],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Read prompts as the pipeline's call does, which is broken off once it has."""
        conditions: dict[str, Any] = {
            "prompt": list(prompts),
            "max_sequence_length": max_tokens,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt or self._negative,
            READ: {},
        }

        def enough(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if conditions[READ]:
                raise _EnoughError
            return inner(*args, **kwargs)

        def never(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            raise _EnoughError

        around = [(pipe, "prepare_latents", enough), (pipe, "progress_bar", never)]
        with _wrapped(around), suppress(_EnoughError):
            self._call(pipe, conditions, guidance_scale, 1, None, [torch.Generator()], "latent")
        return conditions

    def noise(self, pipe: Any, seeds: Sequence[int], size: Any) -> None:
        """None: the pipeline draws it, from the generators that its call is handed."""
        return

    def set_timesteps(
        self, scheduler: Any, num_steps: int, size: Any, index: Mapping[str, Any]
    ) -> None:
        """Refuse: how its steps are spaced, the pipeline alone knows."""
        raise ValueError("the steps of this pipeline are known once it runs")

    def denoise(
        self,
        pipe: Any,
        conditions: dict[str, Any],
        noise: Tensor | None,
        num_steps: int,
        guidance_scale: float,
        size: int | VideoSize,
        generators: list[torch.Generator],
    ) -> Tensor:
        """Run the pipeline up to its final latents, in the layout that its loop has them in."""
        return self._call(pipe, conditions, guidance_scale, num_steps, size, generators, "latent")

    @torch.no_grad()
    def decode(
        self, pipe: Any, latents: Tensor, size: Any, conditions: dict[str, Any]
    ) -> list[Picture]:
        """Let the pipeline decode latents by itself: a call without a step, beginning with them."""

        def no_steps(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            done = inner(*args, **kwargs)
            pipe.scheduler.timesteps = pipe.scheduler.timesteps[:0]
            return done

        def ours(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            drawn = inner(*args, **kwargs)
            first, *rest = drawn if isinstance(drawn, tuple) else (drawn,)
            if first.shape != latents.shape:
                raise ValueError(
                    f"{type(pipe).__name__} ends with latents of another shape than it begins "
                    f"with, {tuple(latents.shape)} after {tuple(first.shape)}: it needs a family "
                    "of its own to decode them"
                )
            return (latents, *rest) if isinstance(drawn, tuple) else latents

        around = [(pipe.scheduler, "set_timesteps", no_steps), (pipe, "prepare_latents", ours)]
        generators = [torch.Generator().manual_seed(0) for _ in conditions["prompt"]]
        with _wrapped(around):
            guidance_scale = conditions["guidance_scale"]
            pictures = self._call(pipe, conditions, guidance_scale, 2, size, generators, "pil")
        if not isinstance(size, VideoSize):
            return list(pictures)
        return [Video(tuple(frames), size.fps) for frames in pictures]

    def _call(
        self,
        pipe: Any,
        conditions: Mapping[str, Any],
        guidance_scale: float,
        num_steps: int,
        size: int | VideoSize | None,
        generators: Sequence[torch.Generator],
        output_type: str,
    ) -> Any:
        """Call the pipeline with what it takes; prompts that were read are not read again."""
        takes = inspect.signature(type(pipe).__call__).parameters
        prompts = conditions["prompt"]
        one = len(prompts) == 1
        given = {
            **PLAIN,
            **self._arguments,
            **sides_of(size),
            "max_sequence_length": conditions["max_sequence_length"],
            "num_inference_steps": num_steps,
            "generator": generators[0] if len(generators) == 1 else list(generators),
            "output_type": output_type,
            "return_dict": False,
        }
        guidance = guidance_name(takes)
        if guidance is not None:
            given[guidance] = guidance_scale
        elif getattr(pipe, "guider", None) is not None:
            pipe.guider = pipe.guider.new(guidance_scale=guidance_scale)
        # A pipeline that guides by a second call does so only where a negative prompt is given.
        negative = conditions.get("negative_prompt", "")
        if guidance_scale > 1.0 and (negative or guidance == "true_cfg_scale"):
            given["negative_prompt"] = negative if one else [negative] * len(prompts)
        # Some write into the list that they are given.
        given["prompt"] = prompts[0] if one else list(prompts)
        if EMBEDDED in conditions:
            given |= {"prompt": None, **conditions[EMBEDDED]}
        given = {name: value for name, value in given.items() if name in takes}
        with _remembered(pipe, conditions[READ]):
            return pipe(**given)[0]


def guidance_name(takes: Mapping[str, inspect.Parameter]) -> str | None:
    """What a call names the strength of the prompt; None where it takes none.

    Some take two: the scale of guidance proper, and the one that a distilled model is told. Which
    of them a pipeline goes by, its defaults say; of the other's there is none.
    """
    for name in ("true_cfg_scale", "guidance_scale"):
        default = takes[name].default if name in takes else None
        if isinstance(default, int | float) and default > 1.0:
            return name
    return "guidance_scale" if "guidance_scale" in takes else None


def takes_negative(takes: Mapping[str, inspect.Parameter]) -> bool:
    """Whether a call is led away from a negative prompt by what it is given as guidance.

    A distilled model that is told its guidance takes one too, for guidance by a second call, which
    is off.
    """
    by_second_call = guidance_name(takes) == "true_cfg_scale" or "true_cfg_scale" not in takes
    return "negative_prompt" in takes and by_second_call


def sides_of(size: int | VideoSize | None) -> dict[str, Any]:
    """What a picture measures, by the names that calls have for it."""
    if size is None:
        return {}
    if isinstance(size, VideoSize):
        return {
            "height": size.height,
            "width": size.width,
            "num_frames": size.frames,
            "frame_rate": size.fps,
        }
    return {"height": size, "width": size}


@contextmanager
def _remembered(pipe: Any, read: dict[str, Any]) -> Iterator[None]:
    """Let a pipeline read no prompt twice.

    Parameters
    ----------
    pipe : DiffusionPipeline
        Whose ``encode_prompt`` answers from what was read before, where it has one.
    read : dict
        What it was asked → what it said; added to.
    """
    if not hasattr(pipe, "encode_prompt"):
        yield
        return
    signature = inspect.signature(pipe.encode_prompt)

    def encode(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        asked = signature.bind(*args, **kwargs).arguments
        key = repr({name: value for name, value in asked.items() if _is_plain(value)})
        if key not in read:
            read[key] = inner(*args, **kwargs)
        # Lists anew, which a pipeline may add to.
        return map_tensors(lambda tensor: tensor, read[key])

    with _wrapped([(pipe, "encode_prompt", encode)]):
        yield


@contextmanager
def _wrapped(around: Sequence[tuple[Any, str, Callable[..., Any]]]) -> Iterator[None]:
    """Put functions around methods of objects, as far as there are any, for a while."""
    with ExitStack() as stack:
        for owner, name, function in around:
            if hasattr(owner, name):
                stack.callback(wrap_method(owner, name, function))
        yield


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def map_tensors(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return a nest of lists, tuples and dicts with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(change, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(change, item) for item in value)
    return value


STOCK = StockFamily()
