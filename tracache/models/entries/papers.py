"""The models that TraCache's paper reports on."""

from __future__ import annotations

from tracache.caching.config import TraCacheConfig
from tracache.media import VideoSize
from tracache.models.families.dit import DIT
from tracache.models.families.opensora.family import OPEN_SORA
from tracache.models.families.opensora.loading import AUTOENCODER, TEXT_ENCODER, TRANSFORMER
from tracache.models.families.opensora.sizes import SIZES
from tracache.models.families.pixart import PIXART
from tracache.models.spec import Footprint, ModelSpec

_OPEN_SORA = ModelSpec(
    id="open-sora-1.2",
    title="Open-Sora 1.2, 480p, 51 frames (text to video)",
    summary="The text-to-video diffusion transformer of HPC-AI Tech, with a T5-XXL encoder.",
    task="text-to-video",
    source=TRANSFORMER,
    further=(AUTOENCODER, TEXT_ENCODER),
    embedded=False,
    family=OPEN_SORA,
    schedulers=("rflow",),
    size=VideoSize(*SIZES.size_of(), frames=SIZES.frames, fps=24.0),
    steps=30,
    guidance_scale=7.0,
    cache=TraCacheConfig(stride=3, max_order=2, warmup=1),
    max_tokens=300,
    # Tensors that live at once, followed through a run of shapes alone: 4.5 GB in the transformer
    # with two halves of guidance and the cache, 2.6 GB while decoding four frames at a time; a
    # third more for the kernels' scratch memory and what the allocator cannot fill.
    footprint=Footprint(1.208, 4.762, 0.393, 6.0, 25.5, kept_wide=1.01),
    example_prompts=(
        "a waterfall pours down a mossy cliff into a clear pool in a sunlit forest",
        "a steam train crosses a stone bridge over a valley in autumn",
        "waves roll onto a black sand beach at dusk, seen from above",
    ),
    max_prompt_length=800,
    sizes=SIZES,
    # 102 frames at 480p in 50 steps.
    max_cost=480 * 854 * 102 * 50,
    note="Made for a GPU. T5-XXL, which reads the prompt, is three times the size of the rest: "
    "where memory is short it is freed before the video is made.",
)


def _dit(size: int, working_gb: float) -> ModelSpec:
    return ModelSpec(
        id=f"dit-xl-2-{size}",
        title=f"DiT-XL/2, {size} × {size} (class to image)",
        summary="The diffusion transformer of Peebles and Xie, on ImageNet's thousand classes.",
        task="class-to-image",
        source=f"facebook/DiT-XL-2-{size}",
        embedded=False,
        family=DIT,
        schedulers=("ddim", "ddpm", "dpm-solver++", "deis"),
        size=size,
        steps=50,
        guidance_scale=4.0,
        cache=TraCacheConfig(stride=3, max_order=3, warmup=2),
        max_tokens=0,
        max_steps=250,
        footprint=Footprint(0.675, 0.0, 0.084, working_gb, 3.1),
        classes="imagenet",
        note="Guidance 4 as released; DiT's published FID protocol uses 1.5 and 250 DDPM steps.",
    )


def _pixart(name: str, size: int, working_gb: float) -> ModelSpec:
    return ModelSpec(
        id=f"pixart-{size}",
        title=f"PixArt-α, {size} × {size} (text to image)",
        summary="The text-to-image diffusion transformer of Chen et al., with a T5-XXL encoder.",
        source=f"PixArt-alpha/PixArt-XL-2-{name}",
        embedded=False,
        family=PIXART,
        schedulers=("dpm-solver++", "ddim", "deis", "ddpm"),
        size=size,
        steps=20,
        guidance_scale=4.5,
        cache=TraCacheConfig(stride=3, max_order=2),
        max_tokens=120,
        footprint=Footprint(0.611, 4.762, 0.084, working_gb, 21.8, kept_wide=1.01),
        example_prompts=(
            "a small cactus with a happy face in the Sahara desert",
            "an oil painting of a lighthouse in a storm at dusk",
            "a photograph of an astronaut riding a horse on a beach",
        ),
        note="T5-XXL, which reads the prompt, is eight times the size of the rest: where memory is "
        "short it is freed before the image is made.",
    )


ENTRIES = (
    _pixart("256x256", 256, 1.0),
    _pixart("512x512", 512, 1.5),
    _pixart("1024-MS", 1024, 4.0),
    _OPEN_SORA,
    _dit(256, 1.0),
    _dit(512, 1.5),
)
