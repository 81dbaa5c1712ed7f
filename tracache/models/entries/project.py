"""The project's own models, whose weights come with it."""

from __future__ import annotations

from tracache.caching.config import TraCacheConfig
from tracache.media import VideoSize
from tracache.models.families.dit import DIT
from tracache.models.families.opensora.family import SCENES as SCENES_VIDEO
from tracache.models.families.pixart import PIXART
from tracache.models.spec import ModelSpec

_SCENES = ModelSpec(
    id="scenes-t2i",
    title="Scenes (embedded, text to image)",
    summary="A small PixArt transformer trained by this project on rendered solids.",
    source="scenes-t2i",
    embedded=True,
    family=PIXART,
    schedulers=("dpm-solver++", "ddim", "deis", "ddpm"),
    size=128,
    steps=20,
    guidance_scale=2.5,
    # Chosen on demo_assets/prompts/tuning.txt; what supports it, on the held-out prompts,
    # is in demo_assets/benchmarks.
    cache=TraCacheConfig(stride=3, max_order=2, last_step=True),
    max_tokens=20,
    example_prompts=(
        "a shiny red sphere on water at sunset",
        "a matte blue cube on snow in daylight",
        "a shiny yellow ring on grass at night",
        "a matte green cone left of a shiny white sphere on sand in daylight",
        "a shiny purple sphere on top of a matte orange cube on grass at sunset",
    ),
)

_SCENES_CLASS = ModelSpec(
    id="scenes-class",
    title="Scenes by class (embedded, class to image)",
    summary="A small DiT transformer trained by this project on single rendered solids.",
    task="class-to-image",
    source="scenes-class",
    embedded=True,
    family=DIT,
    schedulers=("ddim", "dpm-solver++", "deis", "ddpm"),
    size=128,
    steps=50,
    guidance_scale=1.5,
    cache=TraCacheConfig(stride=3, max_order=3, warmup=2),
    max_tokens=0,
    max_steps=250,
    example_prompts=("red sphere", "blue cube", "yellow ring", "green cone", "purple cylinder"),
)

_SCENES_VIDEO = ModelSpec(
    id="scenes-t2v",
    title="Moving scenes (embedded, text to video)",
    summary="A small Open-Sora transformer trained by this project on rendered clips.",
    task="text-to-video",
    source="scenes-t2v",
    embedded=True,
    family=SCENES_VIDEO,
    schedulers=("rflow",),
    size=VideoSize(height=64, width=64, frames=17, fps=8.0),
    steps=30,
    guidance_scale=4.0,
    cache=TraCacheConfig(stride=3, max_order=2),
    max_tokens=24,
    example_prompts=(
        "a red cube slides to the right on grass",
        "a pink sphere orbits clockwise around a blue cone on snow",
        "a yellow ring rolls to the right on sand",
        "a green cube bounces to the left on grass",
        "a purple cylinder slides to the left on snow",
    ),
)

ENTRIES = (_SCENES, _SCENES_CLASS, _SCENES_VIDEO)
