"""What is known of a model before it is loaded: its entry in the registry."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

import diffusers

from tracache.caching.config import TraCacheConfig
from tracache.media import VideoSize, pixels_of
from tracache.models.families.base import Family
from tracache.models.families.stock import StockFamily, takes_negative
from tracache.models.pipelines import PIPELINES
from tracache.models.presets import Preset, load_presets
from tracache.models.sizes import VideoSizes
from tracache.settings import assets_folder

GB = 10**9


@dataclass(frozen=True)
class Footprint:
    """What a model takes.

    Attributes
    ----------
    transformer, text_encoder, vae : float
        Parameters, billions.
    working_gb : float
        Peak of everything that is not weights, GB in half precision; twice that in float32.
    download_gb : float
        Files on the Hub, GB.
    kept_wide : float, default 0
        Parameters of the text encoder, billions, that transformers keeps in float32 where the rest
        is float16 (T5's, which would overflow).
    """

    transformer: float
    text_encoder: float
    vae: float
    working_gb: float
    download_gb: float
    kept_wide: float = 0.0

    def weights(self, width: int) -> int:
        """Bytes of transformer and VAE with so many bytes a parameter."""
        return int((self.transformer + self.vae) * GB * width)

    def encoder(self, width: int) -> int:
        """Bytes of the text encoder with so many bytes a parameter."""
        return int(self.text_encoder * GB * width)

    def working(self, width: int) -> int:
        """Bytes beside the weights with so many bytes a number."""
        return int(self.working_gb * GB * width / 2)


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Attributes
    ----------
    id, title, summary : str
        Name in code, name on the page, one plain sentence.
    task : str
        ``text-to-image``, ``class-to-image`` or ``text-to-video``.
    source : str
        Folder under the assets (``embedded=True``) or repository on the Hub.
    further : tuple of str
        Other repositories with parts of the model, where it is no single pipeline.
    embedded : bool
        Whether the weights come with the project.
    family : Family
        How the pipeline is loaded and driven.
    schedulers : tuple of str
        Keys of :data:`tracache.models.schedulers.SCHEDULERS`; the first is the default.
    size : int or VideoSize
        Height and width of the image, pixels; or what a video measures.
    sizes : VideoSizes or None
        What frames, resolutions and ratios may be asked for in place of ``size``; None where there
        is one size only.
    steps, guidance_scale : int, float
        Defaults.
    cache : TraCacheConfig
        Default cache settings.
    max_steps, max_guidance_scale, max_prompt_length : int, float, int
        Limits; the prompt's in characters.
    max_cost : int
        Most that a request may ask for, pixels × frames × steps (an image is one frame); by
        default what ``size`` and ``max_steps`` allow in any case.
    max_tokens : int
        Length to which prompts are padded or cut, tokens.
    example_prompts : tuple of str
        Shown on the page; names of classes where the model takes those.
    footprint : Footprint or None
        The memory and disk it takes; None where any machine has enough.
    classes : str
        ``imagenet`` where the classes are ImageNet's; otherwise only the model's files name them.
    note : str
        What a visitor should know about the defaults; may be empty.
    denoiser : str
        What its pipeline calls what runs at each step: ``transformer`` or ``unet``.
    gated : bool
        Whether the Hub hands it out only to those who have accepted its terms.
    refused : str
        Why it cannot run anywhere; empty if it can.
    pipeline : str
        Class in diffusers of a stock model's pipeline, where :data:`PIPELINES` does not say it.
    licence : str
        Of the weights, in a few words; empty where it is this project's.
    """

    id: str
    title: str
    summary: str
    source: str
    embedded: bool
    family: Family
    schedulers: tuple[str, ...]
    size: int | VideoSize
    steps: int
    guidance_scale: float
    cache: TraCacheConfig
    max_tokens: int
    task: str = "text-to-image"
    max_steps: int = 100
    max_guidance_scale: float = 20.0
    max_prompt_length: int = 300
    max_cost: int = 0
    example_prompts: tuple[str, ...] = field(default=())
    footprint: Footprint | None = None
    classes: str = ""
    note: str = ""
    denoiser: str = "transformer"
    gated: bool = False
    licence: str = ""
    pipeline: str = ""
    refused: str = ""
    further: tuple[str, ...] = ()
    sizes: VideoSizes | None = None

    def __post_init__(self) -> None:
        if not self.max_cost:
            object.__setattr__(self, "max_cost", pixels_of(self.size) * self.max_steps)

    @property
    def sources(self) -> tuple[str, ...]:
        """Every folder or repository that it takes."""
        return (self.source, *self.further)

    @property
    def index(self) -> str:
        """The file by which each of them is known to be there."""
        return "config.json" if self.further else "model_index.json"

    @property
    def stock(self) -> bool:
        """Whether it is a pipeline of diffusers whose blocks nobody has written down."""
        return isinstance(self.family, StockFamily)

    @property
    def known(self) -> bool:
        """Whether the configuration of its parts is known without its files."""
        return self.source in PIPELINES

    @property
    def takes_negative(self) -> bool:
        """Whether a request may say what guidance leads away from."""
        known = PIPELINES[self.source].pipeline if self.known else ""
        cls = getattr(diffusers, self.pipeline or known, None)
        return self.stock and takes_negative(
            inspect.signature(cls.__call__).parameters if cls else {}
        )

    @property
    def resizable(self) -> bool:
        """Whether a video of other frames, resolution and ratio may be asked for."""
        return self.sizes is not None

    @property
    def makes_video(self) -> bool:
        """Whether it makes videos rather than images."""
        return isinstance(self.size, VideoSize)

    @property
    def presets(self) -> dict[str, Preset]:
        """Settings chosen for this model beforehand, by name; none without the assets."""
        return load_presets(assets_folder() / "presets" / f"{self.id}.json")
