"""Transformers as shapes without numbers: what they compute can be counted on any machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from tracache.media import VideoSize
from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.models.families.opensora.vae import VideoAutoencoder
from tracache.models.published import TRANSFORMERS
from tracache.models.spec import ModelSpec

#: Beginnings of the names of modules that embed a timestep's value.
_EMBEDDERS = ("PixArtAlphaCombined", "CombinedTimestep", "ScalarEmbedder")

#: Classes of this project; the others are diffusers'.
_OWN: dict[str, Any] = {"STDiT3": STDiT3, "VideoAutoencoder": VideoAutoencoder}

#: What the Hub's old configurations call either of diffusers' classes.
_OLD = "Transformer2DModel"


def build_shape(name: str, config: Mapping[str, Any]) -> Any:
    """Build a transformer or video autoencoder on the meta device.

    Parameters
    ----------
    name : str
        Its class.
    config : mapping
        Its configuration; what the class does not take is passed over.
    """
    cls = _OWN[name] if name in _OWN else getattr(diffusers, name)
    with torch.device("meta"):
        model = cls.from_config(dict(config)).eval()
    # Timesteps keep their values, by which caches tell steps apart; only the embedding, which
    # would mix them with weights that have none, gets them without.
    for module in model.modules():
        if type(module).__name__.startswith(_EMBEDDERS):
            module.register_forward_pre_hook(_without_values, with_kwargs=True)
    return model


def transformer_shape(spec: ModelSpec, sources: Sequence[Path | str]) -> Any:
    """Build a model's transformer: by the files in a folder, else as published.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    sources : sequence of Path or str
        From :func:`~tracache.models.sources.locate_all`.

    Raises
    ------
    ValueError
        If neither is at hand.
    OSError
        If a folder lacks its configuration.
    """
    source = sources[0]
    if isinstance(source, Path):
        config = _read(source if spec.further else source / "transformer")
        name = config.get("_class_name") or config.get("model_type", _OLD)
        if name == _OLD:
            name = TRANSFORMERS[spec.source][0]
        return build_shape(name, config)
    if source in TRANSFORMERS:
        return build_shape(*TRANSFORMERS[source])
    if spec.makes_video:
        return build_shape("STDiT3", {})
    raise ValueError(f"the configuration of {spec.title} is not known here")


def latent_shape(
    spec: ModelSpec, sources: Sequence[Path | str], size: int | VideoSize, config: Any
) -> tuple[int, ...]:
    """Return channels and extent of the latents of one picture.

    Parameters
    ----------
    spec, sources
        As for :func:`transformer_shape`.
    size : int or VideoSize
        Of the picture.
    config : mapping
        Of its transformer.
    """
    if isinstance(size, int):
        return config.in_channels, config.sample_size, config.sample_size
    source = sources[1 if spec.further else 0]
    given: dict[str, Any] = {}
    if isinstance(source, Path):
        given = _read(source if spec.further else source / "vae")
    vae = build_shape("VideoAutoencoder", given)
    factor = vae.spatial_factor
    frames = vae.latent_frames(size.frames)
    return config.in_channels, frames, size.height // factor, size.width // factor


def empty_inputs(
    transformer: Any, latents: tuple[int, ...], batch: int, tokens: int, size: tuple[int, int]
) -> dict[str, Any]:
    """Return what a transformer's forward takes beside the timestep, shapes alone.

    Parameters
    ----------
    transformer
        From :func:`build_shape`.
    latents : tuple of int
        Channels and extent of one picture's.
    batch : int
        Pictures, guidance's two halves counted.
    tokens : int
        Of the text, where there is one.
    size : (int, int)
        Height and width of the picture, pixels.
    """
    config = transformer.config
    x = torch.empty(batch, *latents, device="meta")
    if isinstance(transformer, STDiT3):
        # Sizes are read on the host.
        height, width = (torch.full((batch,), float(side)) for side in size)
        text = torch.empty(batch, 1, tokens, config.caption_channels, device="meta")
        fps = torch.full((batch,), 24.0, device="meta")
        return {"x": x, "y": text, "fps": fps, "height": height, "width": width}
    if not hasattr(transformer, "caption_projection"):
        return {
            "hidden_states": x,
            "class_labels": torch.zeros(batch, dtype=torch.long, device="meta"),
        }
    sizes: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
    if transformer.use_additional_conditions:
        sizes = {
            "resolution": torch.empty(batch, 2, device="meta"),
            "aspect_ratio": torch.empty(batch, 1, device="meta"),
        }
    text = torch.empty(batch, tokens, config.caption_channels, device="meta")
    return {"hidden_states": x, "encoder_hidden_states": text, "added_cond_kwargs": sizes}


def _read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _without_values(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return (
        tuple(a.to("meta") if isinstance(a, Tensor) else a for a in args),
        {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in kwargs.items()},
    )
