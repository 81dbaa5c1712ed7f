"""Full-size models with random weights: for their speed and memory, which do not depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, PixArtAlphaPipeline
from torch import Tensor, nn

from tracache.caching.checks import require_integer
from tracache.models.loading import LoadedModel, ModelUnavailableError, pick_device
from tracache.models.pipelines import PIPELINES
from tracache.models.placement import (
    DoesNotFitError,
    Placement,
    choose_placement,
    free_memory,
    pick_dtype,
)
from tracache.models.published import AUTOENCODER, NOISE_SCHEDULE, TRANSFORMERS
from tracache.models.random_pipelines import (
    RandomStock,
    build_random,
    count_parameters,
    shorten,
)
from tracache.models.reading import Reader
from tracache.models.registry import find_model
from tracache.models.spec import GB
from tracache.settings import Settings


class RandomReader(Reader):
    """Makes up what a text encoder would say of any prompt."""

    def read(
        self,
        prompts: Sequence[Any],
        guidance_scale: float,
        max_tokens: int,
        negative_prompt: str | None = None,
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


def load_random(
    model_id: str, settings: Settings | None = None, layers: int | None = None
) -> LoadedModel:
    """Build a model of the Hub from its published configuration, with random weights.

    Nothing is downloaded, and no text encoder is made.

    Parameters
    ----------
    model_id : str
        A key of the registry.
    settings : Settings, optional
        Which device to use; from the environment if not given.
    layers : int, optional
        At most so many blocks in each stack of a stock model's denoiser, whose other shapes stay
        as published: for machines that cannot hold all of it. All of them if not given.

    Raises
    ------
    ValueError
        If there is no such model or device, or its configuration is not known here.
    ModelUnavailableError
        If it does not fit.
    """
    settings = settings or Settings.from_environment()
    spec = find_model(model_id)
    if spec.footprint is None or not (spec.source in TRANSFORMERS or spec.known):
        known = ", ".join(name for name in _known())
        raise ValueError(f"random weights are for full-size models ({known}), not {model_id}")
    if layers is not None:
        require_integer("layers", layers, 1, 1000)
        if not spec.stock:
            raise ValueError(f"{spec.title} has all of its layers or none: leave out the layers")
    device = pick_device(settings.device)
    dtype = pick_dtype(device, settings.dtype)
    footprint = replace(spec.footprint, text_encoder=0.0, kept_wide=0.0)
    published = shorten(PIPELINES[spec.source], layers) if spec.stock else None
    if published is not None:
        footprint = replace(footprint, transformer=count_parameters(published.denoiser) / GB)
        spec = replace(spec, family=RandomStock(published))
    try:
        lean = replace(spec, footprint=footprint)
        choose_placement(*free_memory(device), lean, dtype.itemsize)
    except DoesNotFitError as error:
        raise ModelUnavailableError(str(error)) from error
    if published is not None:
        pipe, kind = build_random(published, device, dtype), Reader
    else:
        pipe, kind = build_pipeline(spec.source, device, dtype), RandomReader
    pipe.set_progress_bar_config(disable=True)

    def no_encoder() -> Any:
        raise RuntimeError("a model with random weights has no text encoder")

    whole = Placement("whole")
    reader = kind(spec.family, pipe, whole, no_encoder, device, dtype)
    config = {**pipe.scheduler.config, "_class_name": type(pipe.scheduler).__name__}
    return LoadedModel(spec, pipe, config, device, dtype, whole, reader)


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

    return [s.id for s in MODELS.values() if s.source in TRANSFORMERS or s.known]
