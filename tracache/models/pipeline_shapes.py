"""Whole pipelines as shapes without numbers: what one step of the denoiser is called with.

The pipeline's own call runs on the host, latents and all; its denoiser is on the meta device and
answers with nought. What it is called with, and how often a step, need therefore not be written
down for any model.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from tracache.media import VideoSize
from tracache.models.families.stock import (
    PLAIN,
    guidance_name,
    map_tensors,
    sides_of,
    takes_negative,
)
from tracache.models.pipelines import PublishedPipeline


@dataclass(frozen=True)
class Step:
    """What one step computes.

    Attributes
    ----------
    denoiser : nn.Module
        On the meta device.
    calls : list of (tuple, dict)
        Arguments of its calls, tensors without numbers.
    """

    denoiser: nn.Module
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]

    def run(self) -> None:
        """Call the denoiser as the step does."""
        with torch.no_grad():
            for args, kwargs in self.calls:
                self.denoiser(*args, **kwargs)


def build_pipeline(published: PublishedPipeline) -> Any:
    """Build a pipeline whose denoiser and autoencoder are shapes; it works on the host."""
    cls: Any = getattr(diffusers, published.pipeline)
    # Its modules would have it work where they are.
    host = property(lambda self: torch.device("cpu"))
    on_host = type(cls.__name__, (cls,), {"_execution_device": host, "device": host})
    return assemble(on_host, published, _shape(*published.denoiser), _shape(*published.vae))


def assemble(cls: Any, published: PublishedPipeline, denoiser: nn.Module, vae: nn.Module) -> Any:
    """Return a pipeline of a class from a denoiser and an autoencoder; nothing in it reads words.

    Parameters
    ----------
    cls : type
        The published class, or one that is derived from it.
    published : PublishedPipeline
        Says the rest.
    denoiser, vae : nn.Module
        Its parts.
    """
    scheduler = _make(*published.scheduler)
    parts = {published.part: denoiser, "vae": vae, "scheduler": scheduler}
    wanted = [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
    more = dict(published.arguments)
    if "guider" in more:
        more["guider"] = diffusers.ClassifierFreeGuidance(guidance_scale=more["guider"])
    given = {name: parts.get(name, more.get(name)) for name in wanted}
    # What has a default and is not said keeps it.
    defaults = inspect.signature(cls.__init__).parameters
    given = {
        name: value
        for name, value in given.items()
        if value is not None or defaults[name].default is inspect.Parameter.empty
    }
    pipe = cls(**given)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def describes(published: PublishedPipeline, folder: Path) -> bool:
    """Whether the denoiser in a pipeline's folder is as large as the published one."""
    name, config = published.denoiser
    file = folder / published.part / "config.json"
    there = json.loads(file.read_text(encoding="utf-8"))

    def parameters(config: Mapping[str, Any]) -> int:
        with torch.device("meta"):
            made = getattr(diffusers, name).from_config(dict(config))
        return sum(parameter.numel() for parameter in made.parameters())

    return there.get("_class_name") == name and parameters(there) == parameters(config)


def capture_step(
    published: PublishedPipeline, size: int | VideoSize, guidance_scale: float, pipe: Any = None
) -> Step:
    """Run a step of a pipeline on shapes, and return what its denoiser was called with.

    Parameters
    ----------
    published : PublishedPipeline
        The pipeline.
    size : int or VideoSize
        Of the picture.
    guidance_scale : float
        Of guidance.
    pipe : optional
        From :func:`build_pipeline`, where something is to watch it; built here if not given.

    Raises
    ------
    ValueError
        If the denoiser asks for numbers, which decide what it computes.
    """
    pipe = build_pipeline(published) if pipe is None else pipe
    denoiser = getattr(pipe, published.part)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    compute = denoiser.forward

    def note(*args: Any, **kwargs: Any) -> Any:
        call = map_tensors(_without_numbers, (args, kwargs))
        calls.append(call)
        with torch.no_grad():
            answer = compute(*call[0], **call[1])
        return map_tensors(lambda t: torch.zeros(t.shape, dtype=t.dtype), answer)

    denoiser.forward = note
    try:
        _call(pipe, published, size, guidance_scale, 1)
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"{type(denoiser).__name__} computes what its inputs' values say, so that nothing can "
            "be counted before it runs"
        ) from error
    finally:
        del denoiser.forward
    return Step(denoiser, calls)


def set_timesteps(
    published: PublishedPipeline, scheduler: Any, num_steps: int, size: int | VideoSize
) -> None:
    """Give a scheduler the timesteps that a pipeline gives it.

    Parameters
    ----------
    published : PublishedPipeline
        The pipeline.
    scheduler
        Of diffusers.
    num_steps, size
        Of the run, on which they may depend.
    """
    pipe = build_pipeline(published)
    pipe.scheduler = scheduler

    def enough(*args: Any, **kwargs: Any) -> Any:
        raise _EnoughError

    vars(pipe)["progress_bar"] = enough
    with suppress(_EnoughError):
        # None, wherever its scale begins; a guider's begins at 1.
        guidance = 0.0 if getattr(pipe, "guider", None) is None else 1.0
        _call(pipe, published, size, guidance, num_steps)


class _EnoughError(Exception):
    """Ends a call whose beginning alone was wanted."""


def _call(
    pipe: Any,
    published: PublishedPipeline,
    size: int | VideoSize,
    guidance_scale: float,
    num_steps: int,
) -> None:
    takes = inspect.signature(type(pipe).__call__).parameters
    given = {
        **PLAIN,
        **sides_of(size),
        **text_of(published, takes, guidance_scale, _empty),
        "num_inference_steps": num_steps,
        "output_type": "latent",
        "generator": torch.Generator().manual_seed(0),
    }
    if (guidance := guidance_name(takes)) is not None:
        given[guidance] = guidance_scale
    elif getattr(pipe, "guider", None) is not None:
        pipe.guider = pipe.guider.new(guidance_scale=guidance_scale)
    pipe(**{name: value for name, value in given.items() if name in takes})


def text_of(
    published: PublishedPipeline,
    takes: Mapping[str, inspect.Parameter],
    guidance_scale: float,
    make: Callable[[str, tuple[int, ...]], Tensor],
) -> dict[str, Any]:
    """Return what a pipeline's call takes in place of a prompt, and against it.

    Parameters
    ----------
    published : PublishedPipeline
        Says names and shapes of one item.
    takes : mapping
        What the call takes.
    guidance_scale : float
        Above 1, there is something against the prompt as well.
    make : callable
        ``make(name, shape)``: the text of a batch.
    """
    text: dict[str, Any] = {name: make(name, shape) for name, shape in published.text.items()}
    if published.listed:
        text = {name: list(value) for name, value in text.items()}
    if guidance_scale > 1.0:
        against = {f"negative_{name}": value for name, value in text.items()}
        # A model that is told the scale of its guidance is not guided by a second call.
        if takes_negative(takes):
            text |= {**against, "negative_prompt": None}
    return text


def _empty(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.ones(1, *shape, dtype=torch.long) if "mask" in name else torch.zeros(1, *shape)


def _shape(name: str, config: Any) -> nn.Module:
    with torch.device("meta"):
        return getattr(diffusers, name)(**config).eval()


def _make(name: str, config: Any) -> Any:
    return getattr(diffusers, name)(**config)


def _without_numbers(tensor: Tensor) -> Tensor:
    return tensor.to("meta")
