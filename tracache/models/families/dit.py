"""DiT: class to image; the embedded class-conditional model is one too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import DiTPipeline
from diffusers.utils.torch_utils import randn_tensor
from PIL.Image import Image
from torch import Tensor

from tracache.caching.wrapping import wrap_method
from tracache.models.families.decoding import decode_latents
from tracache.models.labels import Labels


class DiTFamily:
    """Drives a stock ``DiTPipeline``; see :class:`~tracache.models.families.base.Family`.

    That pipeline draws its own noise and ends with images. For the length of a call its scheduler
    is therefore handed our noise and keeps the latents, and its VAE decodes nothing.
    """

    #: Components that are needed only to read the prompt.
    encoders: tuple[str, ...] = ()

    def load(
        self,
        sources: Sequence[str | Path],
        dtype: torch.dtype,
        offline: bool,
        without: Sequence[str] = (),
    ) -> Any:
        """Load the pipeline; ``offline`` refuses to ask the Hub."""
        left_out: dict[str, Any] = dict.fromkeys(without)
        return DiTPipeline.from_pretrained(
            sources[0], dtype=dtype, local_files_only=offline, **left_out
        )

    def encode(
        self,
        pipe: Any,
        prompts: Sequence[str | int],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Turn names or numbers of classes into numbers."""
        named = [prompt for prompt in prompts if isinstance(prompt, str)]
        labels = Labels.of_pipeline(pipe) if named else None
        numbers = [
            labels.find(prompt) if labels is not None and isinstance(prompt, str) else int(prompt)
            for prompt in prompts
        ]
        return {"class_labels": numbers}

    def noise(self, pipe: Any, seeds: Sequence[int], size: int) -> Tensor:
        """Gaussian latents, drawn as the pipeline draws them from CPU generators of these seeds."""
        side = size // (2 ** (len(pipe.vae.config.block_out_channels) - 1))
        return randn_tensor(
            (len(seeds), pipe.transformer.config.in_channels, side, side),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            device=pipe._execution_device,
            dtype=pipe.transformer.dtype,
        )

    def set_timesteps(
        self, scheduler: Any, num_steps: int, size: int, index: Mapping[str, Any]
    ) -> None:
        """Space the steps as the scheduler does by itself."""
        scheduler.set_timesteps(num_steps)

    def denoise(
        self,
        pipe: Any,
        conditions: dict[str, Any],
        noise: Tensor,
        num_steps: int,
        guidance_scale: float,
        size: int,
        generators: list[torch.Generator],
    ) -> Tensor:
        """Run the pipeline up to its final latents."""
        guided = guidance_scale > 1.0
        with _take_over(pipe.scheduler, noise, generators, guided) as kept, _no_decoding(pipe.vae):
            pipe(
                **conditions,
                num_inference_steps=num_steps,
                guidance_scale=guidance_scale,
                # For the noise that is not used: the global generator stays as it was.
                generator=torch.Generator().manual_seed(0),
                output_type="pt",
            )
        return kept.latents

    @torch.no_grad()
    def decode(self, pipe: Any, latents: Tensor, size: Any, conditions: Any = None) -> list[Image]:
        """Decode latents as the pipeline itself does."""
        pixels = decode_latents(pipe.vae, 1 / pipe.vae.config.scaling_factor * latents)
        pixels = (pixels / 2 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float()
        return pipe.numpy_to_pil(pixels.numpy())


@contextmanager
def _take_over(
    scheduler: Any, noise: Tensor, generators: list[torch.Generator], guided: bool
) -> Iterator[SimpleNamespace]:
    """Hand a pipeline's loop our noise, and keep the latents that each step ends with.

    Under guidance the pipeline steps both halves of its batch, which are the same, and then drops
    one; here a step is taken for one of them, which also lets every item have its own generator.
    """
    count = len(noise)
    kept = SimpleNamespace(latents=None)
    draws = "generator" in inspect.signature(scheduler.step).parameters
    # A batch of one takes its generator, as every scheduler can.
    own: dict[str, Any] = {"generator": generators} if draws else {}

    def double(latents: Tensor) -> Tensor:
        return torch.cat([latents] * 2) if guided else latents

    def scale_ours(
        scale: Callable[..., Tensor], sample: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        latents = double(noise) if kept.latents is None else sample
        return scale(latents, *args, **kwargs)

    def step_once(
        step: Callable[..., Any], output: Tensor, timestep: Any, sample: Tensor
    ) -> SimpleNamespace:
        done = step(output[:count], timestep, sample[:count], **own)
        kept.latents = done.prev_sample
        return SimpleNamespace(prev_sample=double(done.prev_sample))

    undo = (
        wrap_method(scheduler, "scale_model_input", scale_ours),
        wrap_method(scheduler, "step", step_once),
    )
    try:
        yield kept
    finally:
        for take_away in undo:
            take_away()


@contextmanager
def _no_decoding(vae: Any) -> Iterator[None]:
    """Let a VAE return what it is given, for as long as the block runs."""
    vae.decode = lambda latents: SimpleNamespace(sample=latents)
    try:
        yield
    finally:
        del vae.decode


DIT = DiTFamily()
