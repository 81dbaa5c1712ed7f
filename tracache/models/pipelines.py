"""Whole pipelines as published on the Hub: their parts' configurations, and what text looks like.

The configurations are written down from what is public; each is checked by the number of parameters
that it gives (``python -m pytest tests/models/test_entries.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_FLOW = ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0})
_SHIFTED = ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True})


@dataclass(frozen=True)
class PublishedPipeline:
    """A pipeline without its weights.

    Attributes
    ----------
    pipeline : str
        Its class in diffusers.
    denoiser, vae, scheduler : (str, mapping)
        Class and configuration of these parts.
    text : mapping of str to tuple of int
        What its call takes in place of a prompt: name → shape of one item. Of what is called a
        mask, every entry is set.
    arguments : mapping
        Further components and settings that its constructor wants.
    listed : bool
        Whether text comes as a list, one tensor an item.
    """

    pipeline: str
    denoiser: tuple[str, Mapping[str, Any]]
    vae: tuple[str, Mapping[str, Any]]
    scheduler: tuple[str, Mapping[str, Any]]
    text: Mapping[str, tuple[int, ...]]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = False

    @property
    def part(self) -> str:
        """What the pipeline calls its denoiser."""
        return "unet" if self.denoiser[0].startswith("UNet") else "transformer"


def _autoencoder(channels: int, quant: bool, **more: Any) -> tuple[str, dict[str, Any]]:
    return "AutoencoderKL", {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": channels,
        "use_quant_conv": quant,
        "use_post_quant_conv": quant,
        **more,
    }


_FLUX_VAE = _autoencoder(16, False, scaling_factor=0.3611, shift_factor=0.1159)
_SD3_VAE = _autoencoder(16, False, scaling_factor=1.5305, shift_factor=0.0609)
_SDXL_VAE = _autoencoder(4, True, scaling_factor=0.13025)

_FLUX = PublishedPipeline(
    "FluxPipeline",
    ("FluxTransformer2DModel", {"guidance_embeds": True}),
    _FLUX_VAE,
    _SHIFTED,
    {"prompt_embeds": (512, 4096), "pooled_prompt_embeds": (768,)},
)


def _sd3(**denoiser: Any) -> PublishedPipeline:
    common = {"sample_size": 128, "attention_head_dim": 64, "qk_norm": "rms_norm"}
    return PublishedPipeline(
        "StableDiffusion3Pipeline",
        ("SD3Transformer2DModel", {**common, **denoiser}),
        _SD3_VAE,
        _FLOW,
        # 77 tokens of CLIP and 256 of T5.
        {"prompt_embeds": (333, 4096), "pooled_prompt_embeds": (2048,)},
    )


_Z_IMAGE = PublishedPipeline(
    "ZImagePipeline",
    ("ZImageTransformer2DModel", {}),
    _FLUX_VAE,
    _FLOW,
    {"prompt_embeds": (64, 2560)},
    listed=True,
)


def _cogvideox(**denoiser: Any) -> PublishedPipeline:
    return PublishedPipeline(
        "CogVideoXPipeline",
        ("CogVideoXTransformer3DModel", denoiser),
        ("AutoencoderKLCogVideoX", {}),
        ("CogVideoXDDIMScheduler", {"prediction_type": "v_prediction"}),
        {"prompt_embeds": (226, 4096)},
    )


def _wan(vae: Mapping[str, Any], shift: float, more: Any = None, **denoiser: Any) -> Any:
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": shift}
    return PublishedPipeline(
        "WanPipeline",
        ("WanTransformer3DModel", {"num_layers": 30, **denoiser}),
        ("AutoencoderKLWan", vae),
        ("UniPCMultistepScheduler", flow),
        {"prompt_embeds": (512, 4096)},
        more or {},
    )


_WAN_22_VAE: dict[str, Any] = {
    "z_dim": 48,
    "base_dim": 160,
    "decoder_base_dim": 256,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    # Of the values, which are the repository's, no shape depends.
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}

_SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "transformer_layers_per_block": (1, 2, 10),
    "projection_class_embeddings_input_dim": 2816,
}

_SIGMA: dict[str, Any] = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "sample_size": 128,
    "cross_attention_dim": 1152,
    "caption_channels": 4096,
    "use_additional_conditions": False,
}

#: Repository → what it holds.
PIPELINES: dict[str, PublishedPipeline] = {
    "black-forest-labs/FLUX.1-dev": _FLUX,
    "black-forest-labs/FLUX.1-Krea-dev": _FLUX,
    "stabilityai/stable-diffusion-3.5-medium": _sd3(
        num_layers=24,
        num_attention_heads=24,
        caption_projection_dim=1536,
        pos_embed_max_size=384,
        dual_attention_layers=tuple(range(13)),
    ),
    "stabilityai/stable-diffusion-3.5-large": _sd3(
        num_layers=38,
        num_attention_heads=38,
        caption_projection_dim=2432,
        pos_embed_max_size=192,
    ),
    "Qwen/Qwen-Image": PublishedPipeline(
        "QwenImagePipeline",
        ("QwenImageTransformer2DModel", {}),
        ("AutoencoderKLQwenImage", {}),
        _SHIFTED,
        {"prompt_embeds": (64, 3584), "prompt_embeds_mask": (64,)},
    ),
    "Tongyi-MAI/Z-Image": _Z_IMAGE,
    "Tongyi-MAI/Z-Image-Turbo": _Z_IMAGE,
    "Efficient-Large-Model/Sana_1600M_1024px_diffusers": PublishedPipeline(
        "SanaPipeline",
        ("SanaTransformer2DModel", {}),
        (
            "AutoencoderDC",
            {
                "encoder_block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
                "decoder_block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
                "encoder_layers_per_block": (2, 2, 2, 3, 3, 3),
                "encoder_qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
                "decoder_qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
                "downsample_block_type": "conv",
                "upsample_block_type": "interpolate",
                "decoder_act_fns": "silu",
                "scaling_factor": 0.41407,
            },
        ),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
        {"prompt_embeds": (300, 2304), "prompt_attention_mask": (300,)},
    ),
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": PublishedPipeline(
        "PixArtSigmaPipeline",
        ("PixArtTransformer2DModel", _SIGMA),
        _SDXL_VAE,
        ("DPMSolverMultistepScheduler", {"beta_schedule": "linear", "beta_end": 0.02}),
        {"prompt_embeds": (300, 4096), "prompt_attention_mask": (300,)},
    ),
    "Alpha-VLLM/Lumina-Image-2.0": PublishedPipeline(
        "Lumina2Pipeline",
        ("Lumina2Transformer2DModel", {"cap_feat_dim": 2304}),
        _FLUX_VAE,
        ("FlowMatchEulerDiscreteScheduler", {"shift": 6.0}),
        {"prompt_embeds": (256, 2304), "prompt_attention_mask": (256,)},
    ),
    "stabilityai/stable-diffusion-xl-base-1.0": PublishedPipeline(
        "StableDiffusionXLPipeline",
        ("UNet2DConditionModel", _SDXL_UNET),
        _SDXL_VAE,
        ("EulerDiscreteScheduler", {"beta_start": 0.00085, "beta_end": 0.012}),
        {"prompt_embeds": (77, 2048), "pooled_prompt_embeds": (1280,)},
        {"add_watermarker": False},
    ),
    "zai-org/CogVideoX-2b": _cogvideox(),
    "zai-org/CogVideoX-5b": _cogvideox(
        num_attention_heads=48, num_layers=42, use_rotary_positional_embeddings=True
    ),
    "Lightricks/LTX-Video": PublishedPipeline(
        "LTXPipeline",
        ("LTXVideoTransformer3DModel", {}),
        ("AutoencoderKLLTXVideo", {}),
        _SHIFTED,
        {"prompt_embeds": (128, 4096), "prompt_attention_mask": (128,)},
    ),
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": _wan({}, 3.0, num_attention_heads=12, ffn_dim=8960),
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": _wan(
        _WAN_22_VAE,
        5.0,
        {"expand_timesteps": True},
        num_attention_heads=24,
        ffn_dim=14336,
        in_channels=48,
        out_channels=48,
    ),
    "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v": PublishedPipeline(
        "HunyuanVideo15Pipeline",
        ("HunyuanVideo15Transformer3DModel", {"task_type": "t2v"}),
        ("AutoencoderKLHunyuanVideo15", {}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 5.0}),
        {
            "prompt_embeds": (1000, 3584),
            "prompt_embeds_mask": (1000,),
            "prompt_embeds_2": (256, 1472),
            "prompt_embeds_mask_2": (256,),
        },
        {"guider": 6.0},
    ),
}
