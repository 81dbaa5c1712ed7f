"""Text to image: pipelines of diffusers as they are on the Hub, driven by the stock family.

Parameters of denoiser and autoencoder are counted from the published configurations, those of text
encoders likewise. ``working_gb`` is the peak of tensors alive in a step or while decoding, followed
through a run of shapes, and a third more. Sizes of downloads are what the files should come to.

Above each entry stands where it is from: "page" is the repository's on the Hub, as search engines
keep it (licence, gate, lists of files), "call" the defaults of the pipeline's call in diffusers
0.42. What stands there as unseen is from memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracache.caching.config import TraCacheConfig
from tracache.models.families.stock import STOCK, StockFamily
from tracache.models.schedulers import AS_PUBLISHED
from tracache.models.spec import Footprint, ModelSpec

#: Parameters of text encoders, billions.
CLIP_L, CLIP_G, T5_XXL, GEMMA_2_2B = 0.123, 0.695, 4.762, 2.614
#: Of T5-XXL, those that stay in float32 beside float16.
T5_WIDE = 1.01

_PROMPTS = (
    "a red fox asleep in fresh snow under a birch, early morning light",
    "a glass teapot on a windowsill, steam rising, city lights out of focus behind it",
    "an oil painting of a lighthouse in a storm at dusk",
)


def _image(**fields: Any) -> ModelSpec:
    common: dict[str, Any] = {
        "embedded": False,
        "family": STOCK,
        "schedulers": (AS_PUBLISHED,),
        "size": 1024,
        "cache": TraCacheConfig(),
        "max_prompt_length": 800,
        "example_prompts": _PROMPTS,
    }
    return ModelSpec(**{**common, **fields})


# Page: licence, gate, size of the transformer. Call: steps, guidance, tokens.
_FLUX = _image(
    id="flux.1-dev",
    title="FLUX.1-dev (text to image)",
    summary="Black Forest Labs' 12-billion-parameter flow transformer, distilled in its guidance.",
    source="black-forest-labs/FLUX.1-dev",
    steps=28,
    guidance_scale=3.5,
    max_tokens=512,
    footprint=Footprint(11.901, T5_XXL + CLIP_L, 0.084, 3.2, 33.7, T5_WIDE),
    gated=True,
    licence="FLUX.1-dev non-commercial",
    note="The model that caches are mostly measured on. Guidance is an input and takes no second "
    "pass; it needs no negative prompt.",
)

# Page: licence, every file. A vendor's template: steps, guidance. Call: tokens. Gate: unseen, but a
# mirror calls itself ungated.
_SD35 = _image(
    id="sd3.5-medium",
    title="Stable Diffusion 3.5 medium (text to image)",
    summary="Stability AI's flow transformer of 2.2 billion parameters, with three text encoders.",
    source="stabilityai/stable-diffusion-3.5-medium",
    steps=40,
    guidance_scale=4.5,
    max_tokens=256,
    footprint=Footprint(2.243, T5_XXL + CLIP_L + CLIP_G, 0.084, 3.2, 16.3, T5_WIDE),
    gated=True,
    licence="Stability AI Community",
)

# Page: licence. Call: steps, tokens. Guidance (the call has 5): unseen, others' default.
_Z_IMAGE = _image(
    id="z-image",
    title="Z-Image (text to image)",
    summary="Tongyi's single-stream flow transformer of 6.2 billion parameters.",
    source="Tongyi-MAI/Z-Image",
    steps=50,
    guidance_scale=4.0,
    max_tokens=512,
    footprint=Footprint(6.155, 4.022, 0.084, 3.2, 20.5),
    licence="Apache-2.0",
    note="Its guidance counts from 0, which is none: 1 already calls the denoiser twice.",
)

ENTRIES = (
    _FLUX,
    # Page: licence, gate. Its makers' own demo on the Hub: guidance, steps.
    replace(
        _FLUX,
        id="flux.1-krea-dev",
        title="FLUX.1 Krea [dev] (text to image)",
        summary="FLUX.1-dev's architecture, trained with Krea for looks that are less polished.",
        source="black-forest-labs/FLUX.1-Krea-dev",
        guidance_scale=4.5,
        note="Guidance is an input and takes no second pass.",
    ),
    _SD35,
    # Page: licence, every file. Call: steps. Vendors' catalogues: guidance.
    replace(
        _SD35,
        id="sd3.5-large",
        title="Stable Diffusion 3.5 large (text to image)",
        summary="Stability AI's flow transformer of 8.1 billion parameters, with three text "
        "encoders.",
        source="stabilityai/stable-diffusion-3.5-large",
        steps=28,
        guidance_scale=3.5,
        footprint=Footprint(8.057, T5_XXL + CLIP_L + CLIP_G, 0.084, 3.2, 27.6, T5_WIDE),
    ),
    # ModelScope's documentation: size, guidance, the negative prompt of one blank. Call: steps,
    # tokens. Mirrors: licence, size of the download.
    _image(
        id="qwen-image",
        title="Qwen-Image, 1328 × 1328 (text to image)",
        summary="Alibaba's flow transformer of 20 billion parameters, strong at written words.",
        source="Qwen/Qwen-Image",
        family=StockFamily(negative_prompt=" "),
        size=1328,
        steps=50,
        guidance_scale=4.0,
        max_tokens=512,
        footprint=Footprint(20.430, 8.292, 0.127, 8.5, 57.7),
        licence="Apache-2.0",
        note="Guidance takes a second call of the denoiser at every step.",
    ),
    _Z_IMAGE,
    # Page: licence. The call's example in diffusers: steps, no guidance.
    replace(
        _Z_IMAGE,
        id="z-image-turbo",
        title="Z-Image-Turbo (text to image)",
        summary="Z-Image distilled to eight steps.",
        source="Tongyi-MAI/Z-Image-Turbo",
        steps=8,
        guidance_scale=0.0,
        max_steps=20,
        footprint=Footprint(6.155, 4.022, 0.084, 3.2, 32.8),
        note="Distilled to eight steps, without guidance: neighbouring steps differ so much that "
        "caching gives at most about 1.3×.",
    ),
    # Page: licence, every file. Call: size, steps, guidance, tokens.
    _image(
        id="sana-1.6b",
        title="Sana 1.6B (text to image)",
        summary="NVIDIA's linear-attention transformer on latents that are 32 times smaller.",
        source="Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        steps=20,
        guidance_scale=4.5,
        max_tokens=300,
        footprint=Footprint(1.604, GEMMA_2_2B, 0.312, 2.5, 12.9),
        licence="NVIDIA's own (NSCL v2-custom); Gemma's terms for its text encoder",
        note="A step is so cheap that what is not the denoiser, decoding above all, is a large "
        "part of the time.",
    ),
    # Page: licence. Call: steps, guidance, tokens.
    _image(
        id="pixart-sigma",
        title="PixArt-Σ, 1024 × 1024 (text to image)",
        summary="PixArt-α's successor: the same transformer, another autoencoder, longer prompts.",
        source="PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        schedulers=(AS_PUBLISHED, "dpm-solver++", "ddim", "deis"),
        steps=20,
        guidance_scale=4.5,
        max_tokens=300,
        footprint=Footprint(0.611, T5_XXL, 0.084, 3.2, 21.8, T5_WIDE),
        licence="OpenRAIL++",
    ),
    # Page: licence, every file (in float32). Call: guidance, tokens. Its makers in a discussion
    # there: up to 50 steps.
    _image(
        id="lumina-2",
        title="Lumina-Image 2.0 (text to image)",
        summary="A flow transformer of 2.6 billion parameters; text and image are one sequence.",
        source="Alpha-VLLM/Lumina-Image-2.0",
        steps=50,
        guidance_scale=4.0,
        max_tokens=256,
        footprint=Footprint(2.610, GEMMA_2_2B, 0.084, 3.2, 21.2),
        licence="Apache-2.0; Gemma's terms for its text encoder",
        note="Guidance takes a second call of the denoiser at every step.",
    ),
    # Page: licence. Call: steps, guidance. The download: unseen.
    _image(
        id="sdxl",
        title="Stable Diffusion XL 1.0 (text to image)",
        summary="Stability AI's UNet of 2.6 billion parameters; no transformer.",
        source="stabilityai/stable-diffusion-xl-base-1.0",
        schedulers=(AS_PUBLISHED, "dpm-solver++", "ddim", "deis"),
        denoiser="unet",
        steps=50,
        guidance_scale=5.0,
        max_tokens=77,
        footprint=Footprint(2.567, CLIP_L + CLIP_G, 0.084, 3.2, 13.9),
        licence="OpenRAIL++",
        note="A UNet: what counts as blocks are its stages, and the layers between their halves.",
    ),
)
