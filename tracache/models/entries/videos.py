"""Text to video: pipelines of diffusers as they are on the Hub, driven by the stock family.

Figures are made, and their sources said, as in :mod:`tracache.models.entries.images`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.media import VideoSize
from tracache.models.entries.images import T5_WIDE, T5_XXL
from tracache.models.families.stock import STOCK, StockFamily
from tracache.models.schedulers import AS_PUBLISHED
from tracache.models.spec import Footprint, ModelSpec

#: Parameters of a text encoder, billions.
UMT5_XXL = 5.681

_TILED = StockFamily(tiled=True)

_PROMPTS = (
    "a waterfall pours down a mossy cliff into a clear pool in a sunlit forest",
    "a steam train crosses a stone bridge over a valley in autumn",
    "waves roll onto a black sand beach at dusk, seen from above",
)


def _video(**fields: Any) -> ModelSpec:
    common: dict[str, Any] = {
        "task": "text-to-video",
        "embedded": False,
        "family": STOCK,
        "schedulers": (AS_PUBLISHED,),
        "steps": 50,
        "cache": TraCacheConfig(),
        "max_prompt_length": 800,
        "example_prompts": _PROMPTS,
    }
    return ModelSpec(**{**common, **fields})


# Page (of the larger one): size, rate, tokens, steps. Call: guidance. A catalogue: licence.
_COGVIDEOX = _video(
    id="cogvideox-2b",
    title="CogVideoX-2B, 480 × 720, 49 frames (text to video)",
    summary="Zhipu's video transformer of 1.7 billion parameters, with a T5-XXL encoder.",
    source="zai-org/CogVideoX-2b",
    family=_TILED,
    size=VideoSize(480, 720, 49, 8.0),
    guidance_scale=6.0,
    max_tokens=226,
    footprint=Footprint(1.694, T5_XXL, 0.216, 5.5, 13.3, T5_WIDE),
    licence="Apache-2.0",
)

# Page: every file. Call: size, frames, steps, guidance, tokens. Elsewhere: licence, rate.
_WAN = _video(
    id="wan-2.1-1.3b",
    title="Wan 2.1 1.3B, 480 × 832, 81 frames (text to video)",
    summary="Alibaba's flow transformer of 1.4 billion parameters, with a UMT5-XXL encoder.",
    source="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    size=VideoSize(480, 832, 81, 16.0),
    guidance_scale=5.0,
    max_tokens=512,
    footprint=Footprint(1.419, UMT5_XXL, 0.127, 5.7, 28.9, T5_WIDE),
    licence="Apache-2.0",
    note="Guidance takes a second call of the denoiser at every step.",
)

ENTRIES = (
    _COGVIDEOX,
    # Page: licence, size, rate, tokens, steps, the download.
    replace(
        _COGVIDEOX,
        id="cogvideox-5b",
        title="CogVideoX-5B, 480 × 720, 49 frames (text to video)",
        summary="Zhipu's video transformer of 5.6 billion parameters, with a T5-XXL encoder.",
        source="zai-org/CogVideoX-5b",
        footprint=Footprint(5.570, T5_XXL, 0.216, 5.5, 21.5, T5_WIDE),
        licence="CogVideoX",
    ),
    # Call: size, frames, rate, steps, guidance, tokens. Page: "other" for a licence; its name is a
    # port's documentation's.
    _video(
        id="ltx-video",
        title="LTX-Video, 512 × 704, 161 frames (text to video)",
        summary="Lightricks' flow transformer of 1.9 billion parameters on small latents.",
        source="Lightricks/LTX-Video",
        size=VideoSize(512, 704, 161, 25.0),
        guidance_scale=3.0,
        max_tokens=128,
        footprint=Footprint(1.923, T5_XXL, 0.419, 7.7, 28.4, T5_WIDE),
        licence="LTXV Open Weights",
    ),
    _WAN,
    # Demos on the Hub: size, frames, rate. Documentation of a port: guidance. Call: steps. An
    # encyclopaedia: licence. The download: unseen.
    replace(
        _WAN,
        id="wan-2.2-5b",
        title="Wan 2.2 5B, 704 × 1280, 121 frames (text to video)",
        summary="Alibaba's flow transformer of 5 billion parameters on latents that are 16 times "
        "smaller.",
        source="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        size=VideoSize(704, 1280, 121, 24.0),
        max_cost=0,
        footprint=Footprint(5.000, UMT5_XXL, 0.705, 13.8, 34.2, T5_WIDE),
    ),
    # diffusers' documentation: the repository, guidance. Call: frames, steps. Pages of models made
    # from it: licence. Size, rate and the download: unseen.
    _video(
        id="hunyuanvideo-1.5",
        title="HunyuanVideo 1.5, 480 × 848, 121 frames (text to video)",
        summary="Tencent's flow transformer of 8.3 billion parameters, with Qwen2.5-VL and ByT5.",
        source="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
        family=_TILED,
        size=VideoSize(480, 848, 121, 24.0),
        guidance_scale=6.0,
        max_tokens=1000,
        footprint=Footprint(8.327, 8.292 + 0.217, 1.261, 19.4, 53.0),
        licence="Tencent Hunyuan Community",
        note="Guidance takes a second call of the denoiser at every step.",
    ),
)
