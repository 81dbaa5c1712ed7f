"""Measures of how well pictures fit their prompts, by name; they need weights that one may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from PIL import Image

from tracache.metrics.clip_score import ClipMeasure
from tracache.metrics.image_reward import ImageRewardMeasure


class PromptMeasure(Protocol):
    """A figure of pictures and what they were to show."""

    name: str

    def to(self, device: torch.device) -> None:
        """Compute there from now on."""
        ...

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> float:
        """Return the mean over all pairs."""
        ...


#: Name → what makes the measure of its weights, of which none stand for the usual ones.
NAMED: dict[str, Callable[[str], PromptMeasure]] = {
    "clip": ClipMeasure,
    "imagereward": ImageRewardMeasure,
}


def named_measures(words: Sequence[str]) -> list[PromptMeasure]:
    """Return measures by ``NAME`` or ``NAME=WEIGHTS``.

    Raises
    ------
    ValueError
        If there is no such measure, or it cannot be had here; the message says what to do.
    """
    found = []
    for word in words:
        name, _, source = word.partition("=")
        if name not in NAMED:
            raise ValueError(
                f"unknown measure {name!r}; choose from {', '.join(NAMED)} (of videos, the folder "
                "is one for VBench's own command without being asked)"
            )
        found.append(NAMED[name](source))
    return found
