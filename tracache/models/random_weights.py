"""Full-size models with random weights: for their speed and memory, which do not depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, PixArtAlphaPipeline
from torch import Tensor, nn

from tracache.models.loading import LoadedModel, ModelUnavailableError, pick_device
from tracache.models.placement import (
    DoesNotFitError,
    Placement,
    choose_placement,
    free_memory,
    pick_dtype,
)
from tracache.models.published import AUTOENCODER, NOISE_SCHEDULE, TRANSFORMERS
from tracache.models.reading import Reader
from tracache.models.registry import find_model
from tracache.settings import Settings


class RandomReader(Reader):
    """Makes up what a text encoder would say of any prompt."""

    def read(
        self, prompts: Sequence[Any], guidance_scale: float, max_tokens: int
    ) -> dict[str, Any]:
        """Return random embeddings of full length; classes are read as ever."""
        if isinstance(self._pipe, DiTPipeline):
            return super().read(prompts, guidance_scale, max_tokens)
        mask = torch.ones(len(prompts), max_tokens, device=self._device)
        return {
            "prompt_embeds": self._embed(len(prompts), max_tokens, seed=0),
            "prompt_attention_mask": mask,
            "negative_prompt_embeds": self._embed(len(prompts), max_tokens, seed=1),
            "negative_prompt_attention_mask": mask,
        }

    def _embed(self, count: int, tokens: int, seed: int) -> Tensor:
        channels = self._pipe.transformer.config.caption_channels
        generator = torch.Generator().manual_seed(seed)
        embeds = torch.randn(1, tokens, channels, generator=generator)
        return embeds.to(self._device, self._dtype).repeat(count, 1, 1)


def load_random(model_id: str, settings: Settings | None = None) -> LoadedModel:
    """Build a model of the Hub from its published configuration, with random weights.

    Nothing is downloaded, and no text encoder is made.

    Parameters
    ----------
    model_id : str
        A key of the registry.
    settings : Settings, optional
        Which device to use; from the environment if not given.

    Raises
    ------
    ValueError
        If there is no such model or device, or its configuration is not known here.
    ModelUnavailableError
        If it does not fit.
    """
    settings = settings or Settings.from_environment()
    spec = find_model(model_id)
    if spec.source not in TRANSFORMERS or spec.footprint is None:
        known = ", ".join(name for name in _known())
        raise ValueError(f"random weights are for full-size models ({known}), not {model_id}")
    device = pick_device(settings.device)
    dtype = pick_dtype(device, settings.dtype)
    lean = replace(spec, footprint=replace(spec.footprint, text_encoder=0.0, kept_wide=0.0))
    try:
        placement = choose_placement(*free_memory(device), lean, dtype.itemsize)
    except DoesNotFitError as error:
        raise ModelUnavailableError(str(error)) from error
    pipe = build_pipeline(spec.source, device, dtype)
    pipe.set_progress_bar_config(disable=True)

    def no_encoder() -> Any:
        raise RuntimeError("a model with random weights has no text encoder")

    reader = RandomReader(spec.family, pipe, placement, no_encoder, device, dtype)
    config = pipe.scheduler.config
    return LoadedModel(spec, pipe, config, device, dtype, Placement("whole"), reader)


def build_pipeline(source: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the pipeline of a repository, its weights made on the device itself."""
    name, config = TRANSFORMERS[source]
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    make_vae: Any = AutoencoderKL
    try:
        with torch.device(device):
            transformer = getattr(diffusers, name)(**config).eval()
            vae = make_vae(**AUTOENCODER).eval()
    finally:
        torch.set_default_dtype(before)
    for module in (transformer, vae):
        # Parts that were made in a format of their own; past diffusers' own method, which warns.
        nn.Module.to(module, device, dtype)
    scheduler = DDIMScheduler(**NOISE_SCHEDULE, clip_sample=False)
    if name == "DiTTransformer2DModel":
        return DiTPipeline(transformer=transformer, vae=vae, scheduler=scheduler)
    # Without a text encoder, which the pipeline's types do not foresee.
    make: Any = PixArtAlphaPipeline
    return make(
        tokenizer=None, text_encoder=None, vae=vae, transformer=transformer, scheduler=scheduler
    )


def _known() -> list[str]:
    from tracache.models.registry import MODELS

    return [spec.id for spec in MODELS.values() if spec.source in TRANSFORMERS]
