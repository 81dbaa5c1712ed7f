"""Every model of the demo: where it lives, its defaults and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tracache.config import TraCacheConfig
from tracache.models.family import Family
from tracache.models.pixart import PIXART
from tracache.presets import Preset, load_presets

#: Where presets are: with the embedded models that they were measured on.
PRESETS = Path(__file__).resolve().parents[2] / "demo_assets" / "presets"


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Attributes
    ----------
    id, title, summary : str
        Name in code, name on the page, one plain sentence.
    task : str
        ``text-to-image``.
    source : str
        Folder under the assets (``embedded=True``) or repository on the Hub.
    embedded : bool
        Whether the weights come with the project.
    family : Family
        How the pipeline is loaded and driven.
    schedulers : tuple of str
        Keys of :data:`tracache.models.schedulers.SCHEDULERS`; the first is the default.
    size : int
        Height and width of the image, pixels.
    steps, guidance_scale : int, float
        Defaults.
    cache : TraCacheConfig
        Default cache settings.
    max_steps, max_guidance_scale, max_prompt_length : int, float, int
        Limits; the prompt's in characters.
    max_tokens : int
        Length to which prompts are padded or cut, tokens.
    example_prompts : tuple of str
        Shown on the page.
    """

    id: str
    title: str
    summary: str
    source: str
    embedded: bool
    family: Family
    schedulers: tuple[str, ...]
    size: int
    steps: int
    guidance_scale: float
    cache: TraCacheConfig
    max_tokens: int
    task: str = "text-to-image"
    max_steps: int = 100
    max_guidance_scale: float = 20.0
    max_prompt_length: int = 300
    example_prompts: tuple[str, ...] = field(default=())

    @property
    def presets(self) -> dict[str, Preset]:
        """Settings chosen for this model beforehand, by name."""
        return load_presets(PRESETS / f"{self.id}.json")


MODELS: dict[str, ModelSpec] = {
    spec.id: spec
    for spec in (
        ModelSpec(
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
        ),
    )
}

DEFAULT_MODEL = "scenes-t2i"


def find_model(model_id: str) -> ModelSpec:
    """Return the model of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if not isinstance(model_id, str) or model_id not in MODELS:
        raise ValueError(f"unknown model {model_id!r}; choose from {', '.join(MODELS)}")
    return MODELS[model_id]
