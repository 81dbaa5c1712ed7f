"""What each arm computes on the full-size models, beside the paper's tables.

The models are built on the meta device from their published configurations: shapes without
numbers, so that any machine counts them. Every product is counted by running the real forward
under the real cache; no formula stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch

from tracache.caching.config import TraCacheConfig
from tracache.caching.methods import DeltaDiTConfig, FasterCacheConfig, PABConfig, ToCaConfig
from tracache.compare.arm import Setup
from tracache.compare.estimate import run_shapes
from tracache.metrics.macs import Macs, count_macs
from tracache.models.families.opensora.stdit3 import STDiT3
from tracache.models.published import TRANSFORMERS
from tracache.models.shapes import build_shape, empty_inputs

#: Tokens that a caption is padded to.
TEXT_TOKENS = 120

PIXART_256 = "PixArt-alpha/PixArt-XL-2-256x256"
PIXART_512 = "PixArt-alpha/PixArt-XL-2-512x512"
DIT = "facebook/DiT-XL-2-256"
OPEN_SORA = "hpcai-tech/OpenSora-STDiT-v3"

#: Frames and size of Table 2's videos, and their latents.
VIDEO_SIZE = (480, 854)
VIDEO_LATENTS = (15, 60, 106)


@dataclass(frozen=True)
class PaperRow:
    """One row of a table of the paper.

    Attributes
    ----------
    table : str
        The paper's number of the table.
    model : str
        Repository of the model.
    name : str
        The row.
    tera : float
        Its MACs, 10¹²; of images the paper counts products with weights only, and the caption's
        projection not at all; of videos all products.
    setup : Setup or None
        Ours for it; None where there is none, and ``note`` says why.
    note : str
        What to know about our setup.
    """

    table: str
    model: str
    name: str
    tera: float
    setup: Setup | None
    note: str = ""


@dataclass(frozen=True)
class MacsRow:
    """A row of the paper and what we count for it, in 10¹² multiply–accumulates.

    Attributes
    ----------
    table, model, name, paper, note
        As in :class:`PaperRow`; ``paper`` is its figure.
    ours : float or None
        As the paper counts.
    all_products : float or None
        With attention's score and value products and the caption's projection.
    """

    table: str
    model: str
    name: str
    paper: float
    ours: float | None
    all_products: float | None
    note: str

    @property
    def ratio(self) -> float | None:
        """Ours over the paper's."""
        return None if self.ours is None else self.ours / self.paper

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return {**asdict(self), "ratio": self.ratio}


def _skipping(steps: int, stride: int, order: int, warmup: int = 1, **changes: Any) -> Setup:
    return Setup(steps, TraCacheConfig(stride=stride, max_order=order, warmup=warmup, **changes))


_NO_GATES = "needs trained gates, which are not published in usable form; see the arm gates"
_TOCA = "interval and ratio inferred from the row's budget"
_DELTA = "interval and share inferred from the row's budget"
_STRIDE = "stride 3 and order 3 inferred from the row's budget"
_SCHEDULES_OF_THEIRS = "the paper's settings for video are not stated"
_BY_FEATURES = "which steps compute follows from features, which shapes alone do not have"
_PAB = "ranges as published; timesteps between which it broadcasts likewise; MLPs always compute"
_FASTER = "our defaults"
_LEAN = "we keep and predict the last block alone, the paper every block"


def _pixart_rows(model: str, figures: dict[str, float]) -> Iterator[PaperRow]:
    toca = {"ToCa-1": ToCaConfig(3, 0.9), "ToCa-2": ToCaConfig(4, 0.96)}
    setups: dict[str, tuple[Setup, str]] = {
        "PixArt-α DPM++ 20": (Setup(20), ""),
        "DPM++ 10 steps": (Setup(10), ""),
        "DPM++ 7 steps": (Setup(7), ""),
        "Δ-DiT": (Setup(20, DeltaDiTConfig()), _DELTA),
        "FORA-1 (k=2)": (_skipping(20, 2, 0, rule="reuse"), ""),
        "FORA-2 (k=3)": (_skipping(20, 3, 0, rule="reuse"), ""),
        "FORA-3 (k=4)": (_skipping(20, 4, 0, rule="reuse"), ""),
        "TraCache k=2, o=2": (_skipping(20, 2, 2), _LEAN),
        "TraCache k=3, o=2": (_skipping(20, 3, 2), _LEAN),
        "TraCache k=4, o=2": (_skipping(20, 4, 2), _LEAN),
        "ToCa-1": (Setup(20, toca["ToCa-1"]), _TOCA),
        "ToCa-2": (Setup(20, toca["ToCa-2"]), _TOCA),
    }
    for name, tera in figures.items():
        yield PaperRow("1", model, name, tera, *setups[name])


def paper_rows() -> list[PaperRow]:
    """Return the rows of Tables 1, 2, 3 and 8."""
    pixart_256 = {
        "PixArt-α DPM++ 20": 5.68,
        "DPM++ 10 steps": 2.84,
        "Δ-DiT": 3.74,
        "FORA-1 (k=2)": 2.88,
        "TraCache k=2, o=2": 2.91,
        "DPM++ 7 steps": 1.99,
        "FORA-2 (k=3)": 2.02,
        "ToCa-1": 2.19,
        "TraCache k=3, o=2": 2.06,
        "ToCa-2": 1.51,
        "TraCache k=4, o=2": 1.48,
    }
    pixart_512 = {
        "PixArt-α DPM++ 20": 21.67,
        "DPM++ 10 steps": 10.84,
        "FORA-1 (k=2)": 10.94,
        "TraCache k=2, o=2": 11.17,
        "ToCa-1": 8.30,
        "TraCache k=3, o=2": 7.91,
        "FORA-3 (k=4)": 5.46,
        "ToCa-2": 5.73,
        "TraCache k=4, o=2": 5.61,
    }
    dit = [
        ("DiT-XL/2 DDIM-50", 11.44, Setup(50), ""),
        ("DDIM 20 steps", 4.58, Setup(20), ""),
        ("DEIS 20 steps", 4.58, Setup(20, scheduler="deis"), ""),
        ("FORA", 4.12, _skipping(50, 3, 0, 2, rule="reuse"), ""),
        ("ToCa-1", 4.92, Setup(50, ToCaConfig(3, 0.8)), _TOCA),
        ("TraCache k=3, o=3", 4.19, _skipping(50, 3, 3, 2), _LEAN),
        ("ToCa-2", 3.28, Setup(50, ToCaConfig(4, 0.95)), _TOCA),
        ("L2C", 3.56, None, _NO_GATES),
        ("LazyDiT", 3.20, None, _NO_GATES),
        ("TraCache k=4, o=4", 3.22, _skipping(50, 4, 4, 2), _LEAN),
        ("TraCache k=5, o=4", 2.54, _skipping(50, 5, 4, 2), _LEAN),
    ]
    ddpm = [
        ("DiT-XL/2 DDPM-250", 57.20, Setup(250, scheduler="ddpm"), ""),
        ("DDPM 125 steps", 28.60, Setup(125, scheduler="ddpm"), ""),
        ("FORA", 19.22, _skipping(250, 3, 0, 1, rule="reuse"), _STRIDE),
        ("ToCa", 19.79, Setup(250, ToCaConfig(4, 0.81)), _TOCA),
        ("TraCache", 19.34, _skipping(250, 3, 3, 1), f"{_STRIDE}; {_LEAN}"),
    ]
    video = [
        ("Open-Sora 1.2 rflow-30", 1660.0, Setup(30), ""),
        ("rflow 15 steps", 830.0, Setup(15), ""),
        ("Δ-DiT", 1630.0, None, _SCHEDULES_OF_THEIRS),
        ("FORA (k=2)", 850.0, _skipping(30, 2, 0, rule="reuse"), ""),
        ("PAB", 1320.0, Setup(30, PABConfig(2, 6, 1, 4, 930.0, 450.0)), _PAB),
        ("FasterCache", 990.0, Setup(30, FasterCacheConfig()), _FASTER),
        ("TeaCache-1", 860.0, None, _BY_FEATURES),
        ("TraCache k=2, o=2", 840.0, _skipping(30, 2, 2), _LEAN),
        ("rflow 10 steps", 550.0, Setup(10), ""),
        ("TeaCache-2 (threshold 0.3)", 560.0, None, _BY_FEATURES),
        ("AdaCache", 690.0, None, _BY_FEATURES),
        ("TraCache k=3, o=2", 550.0, _skipping(30, 3, 2), _LEAN),
        ("TraCache k=4, o=2", 440.0, _skipping(30, 4, 2), _LEAN),
    ]
    return [
        *_pixart_rows(PIXART_256, pixart_256),
        *_pixart_rows(PIXART_512, pixart_512),
        *(PaperRow("2", OPEN_SORA, *row) for row in video),
        *(PaperRow("3", DIT, *row) for row in dit),
        *(PaperRow("8", DIT, *row) for row in ddpm),
    ]


def measure_macs(
    rows: list[PaperRow], progress: Callable[[], None] = lambda: None
) -> Iterator[MacsRow]:
    """Count each row's setup on its model, guidance's two halves included."""
    for row in rows:
        ours = everything = None
        if row.setup is not None:
            macs = count_run(row.model, row.setup)
            ours = (macs.total if row.model == OPEN_SORA else macs.linear) / 1e12
            everything = (macs.total + macs.excluded) / 1e12
        progress()
        yield MacsRow(row.table, row.model, row.name, row.tera, ours, everything, row.note)


def count_run(model: str, setup: Setup) -> Macs:
    """Count a denoising run of a full-size model, for one image with guidance.

    The projection of the caption is left out, as the paper does.
    """
    transformer = meta_transformer(model)
    projection = getattr(transformer, "caption_projection", None)
    left_out = [] if projection is None else [projection]
    with torch.no_grad(), count_macs(exclude=left_out) as macs:
        run_shapes(transformer, _inputs(transformer), setup, 2)
    return macs


@lru_cache(maxsize=1)
def meta_transformer(model: str) -> Any:
    """Build a published transformer on the meta device."""
    return build_shape(*(("STDiT3", {}) if model == OPEN_SORA else TRANSFORMERS[model]))


def _inputs(transformer: Any) -> dict[str, Any]:
    """Latents and conditions of one image or video with guidance, shapes alone."""
    config = transformer.config
    video = isinstance(transformer, STDiT3)
    extent = VIDEO_LATENTS if video else (config.sample_size,) * 2
    return empty_inputs(transformer, (config.in_channels, *extent), 2, TEXT_TOKENS, VIDEO_SIZE)
