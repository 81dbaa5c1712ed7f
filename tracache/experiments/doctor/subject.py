"""What a cache is examined on: denoisers, and a loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tracache.caching.pipeline import denoisers_of
from tracache.compare.sampling import NOISE_SEED
from tracache.media import VideoSize
from tracache.models.loading import LoadedModel
from tracache.models.schedulers import make_scheduler


@dataclass(frozen=True)
class Ask:
    """One run that is asked for; the noise is the same for the same batch and size.

    Attributes
    ----------
    steps : int
        Denoising steps.
    batch : int, default 1
        Items.
    resized : bool, default False
        Whether in another size than usual.
    """

    steps: int
    batch: int = 1
    resized: bool = False


#: Makes a run and returns what it ends with: the final latents. Asked for what it does not do, it
#: raises.
Run = Callable[[Ask], Tensor | Sequence[Tensor]]


@dataclass(frozen=True)
class Subject:
    """A loop and what it calls.

    Attributes
    ----------
    run : callable
        Makes the run of an :class:`Ask`, from the same noise and conditions every time.
    denoisers : tuple of nn.Module
        What it calls at its steps.
    name : str
        In words.
    scheduler : optional
        Whose steps they are, for caches that act there.
    pipe : DiffusionPipeline, optional
        What runs them, where one does.
    """

    run: Run
    denoisers: tuple[nn.Module, ...]
    name: str
    scheduler: Any = None
    pipe: Any = None


def of_pipeline(pipe: Any, call: Callable[[Ask], Any], name: str | None = None) -> Subject:
    """Return a pipeline as a subject; ``call`` runs it and returns its final latents."""
    denoisers = tuple(denoisers_of(pipe).values())
    called = type(pipe).__name__ if name is None else name
    return Subject(call, denoisers, called, getattr(pipe, "scheduler", None), pipe)


def of_model(model: LoadedModel, prompt: str | int, size: int | VideoSize | None = None) -> Subject:
    """Return a loaded model as a subject: one prompt, or class, in noises of their own.

    Its pictures have the model's own size, or another.
    """
    usual = model.spec.size if size is None else size
    spec, pipe = model.spec, model.pipe
    pipe.scheduler = make_scheduler(spec.schedulers[0], model.scheduler_config)
    guidance = spec.guidance_scale
    read: dict[int, dict[str, Any]] = {}

    def call(ask: Ask) -> Tensor:
        prompts, seeds = [prompt] * ask.batch, range(ask.batch)
        size = resized(usual) if ask.resized else usual
        if ask.batch not in read:
            read[ask.batch] = model.reader.read(prompts, guidance, spec.max_tokens, None)
        noise = spec.family.noise(pipe, list(seeds), size)
        after = 0 if noise is None else NOISE_SEED
        drawn = [torch.Generator().manual_seed(seed + after) for seed in seeds]
        given = read[ask.batch]
        return spec.family.denoise(pipe, given, noise, ask.steps, guidance, size, drawn)

    return of_pipeline(pipe, call, spec.id)


def resized(size: int | VideoSize) -> int | VideoSize:
    """Return another size, a smaller one where that can be, in steps of 32 pixels."""
    if isinstance(size, VideoSize):
        return replace(size, width=_other(size.width))
    return _other(size)


def _other(side: int) -> int:
    return side // 2 // 32 * 32 or 2 * side
