"""Configurations of the full-size transformers, as published on the Hub."""

from __future__ import annotations

from typing import Any

_COMMON: dict[str, Any] = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "patch_size": 2,
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "norm_elementwise_affine": False,
}

_PIXART: dict[str, Any] = {
    **_COMMON,
    "cross_attention_dim": 1152,
    "caption_channels": 4096,
    "norm_type": "ada_norm_single",
    "norm_eps": 1e-6,
}

#: Repository → (class in diffusers, configuration of its transformer).
TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "PixArt-alpha/PixArt-XL-2-256x256": (
        "PixArtTransformer2DModel",
        {**_PIXART, "sample_size": 32, "use_additional_conditions": False},
    ),
    "PixArt-alpha/PixArt-XL-2-512x512": (
        "PixArtTransformer2DModel",
        {**_PIXART, "sample_size": 64, "use_additional_conditions": False},
    ),
    "PixArt-alpha/PixArt-XL-2-1024-MS": (
        "PixArtTransformer2DModel",
        {**_PIXART, "sample_size": 128, "use_additional_conditions": True},
    ),
    "facebook/DiT-XL-2-256": (
        "DiTTransformer2DModel",
        {**_COMMON, "sample_size": 32, "norm_type": "ada_norm_zero", "norm_eps": 1e-5},
    ),
    "facebook/DiT-XL-2-512": (
        "DiTTransformer2DModel",
        {**_COMMON, "sample_size": 64, "norm_type": "ada_norm_zero", "norm_eps": 1e-5},
    ),
}
