"""PixArt-α: text to image, at any size; the embedded text-to-image model is one too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import PixArtAlphaPipeline
from PIL.Image import Image
from torch import Tensor

from tracache.models.families.decoding import decode_latents
from tracache.models.words import require_words


class PixArtFamily:
    """Drives a ``PixArtAlphaPipeline``; see :class:`~tracache.models.families.base.Family`."""

    #: Components that are needed only to read the prompt.
    encoders: tuple[str, ...] = ("tokenizer", "text_encoder")

    def load(
        self,
        sources: Sequence[str | Path],
        dtype: torch.dtype,
        offline: bool,
        without: Sequence[str] = (),
    ) -> Any:
        """Load the pipeline; ``offline`` refuses to ask the Hub."""
        left_out: dict[str, Any] = dict.fromkeys(without)
        pipe = PixArtAlphaPipeline.from_pretrained(
            sources[0], dtype=dtype, local_files_only=offline, **left_out
        )
        require_words(pipe.tokenizer)
        return pipe

    def encode(
        self,
        pipe: Any,
        prompts: Sequence[str],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
    ) -> dict[str, Any]:
        """Encode prompts, and the empty prompt where guidance needs it."""
        embeds, mask, negative_embeds, negative_mask = pipe.encode_prompt(
            list(prompts),
            do_classifier_free_guidance=guidance_scale > 1.0,
            device=pipe._execution_device,
            clean_caption=False,
            max_sequence_length=max_tokens,
        )
        return {
            "prompt_embeds": embeds,
            "prompt_attention_mask": mask,
            "negative_prompt_embeds": negative_embeds,
            "negative_prompt_attention_mask": negative_mask,
        }

    def noise(self, pipe: Any, seeds: Sequence[int], size: int) -> Tensor:
        """Gaussian latents in float32, drawn on the CPU so that devices agree."""
        channels = pipe.transformer.config.in_channels
        side = size // pipe.vae_scale_factor
        items = [
            torch.randn(channels, side, side, generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        return torch.stack(items).to(pipe._execution_device, pipe.transformer.dtype)

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
        if num_steps == 1:
            _serve_single_step(pipe.scheduler)
        return pipe(
            negative_prompt=None,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            height=size,
            width=size,
            latents=noise,
            generator=generators,
            output_type="latent",
            clean_caption=False,
            use_resolution_binning=False,
            **conditions,
        ).images

    @torch.no_grad()
    def decode(self, pipe: Any, latents: Tensor, size: Any, conditions: Any = None) -> list[Image]:
        """Decode latents as the pipeline itself does."""
        pixels = decode_latents(pipe.vae, latents / pipe.vae.config.scaling_factor)
        return pipe.image_processor.postprocess(pixels, output_type="pil")


def _serve_single_step(scheduler: Any) -> None:
    """Let a scheduler serve a run of one step.

    Of such a run the pipeline takes the second thing that the scheduler returns, as consistency
    models have it; the latents that every scheduler returns first are put there too.
    """
    step = scheduler.step

    def twice(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        latents = step(*args, **kwargs)[0]
        return latents, latents

    scheduler.step = twice


PIXART = PixArtFamily()
