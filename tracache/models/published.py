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

#: Configuration of the autoencoder that PixArt-α and DiT share.
AUTOENCODER: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
}

#: Noise schedule of both; each run makes its own scheduler from it.
NOISE_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "num_train_timesteps": 1000,
}
