"""Settings chosen beforehand for a model, by measurement; read from the assets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracache.caching.config import TraCacheConfig

#: In place of a preset's name: everything is set by hand.
CUSTOM = "custom"


@dataclass(frozen=True)
class Preset:
    """A number of steps and settings of the cache.

    Attributes
    ----------
    id, title, about : str
        Name in code, name on the page, a plain sentence.
    steps : int
        Denoising steps of full compute.
    scheduler : str
        The scheduler that it was chosen with, and is for.
    cache : TraCacheConfig
        The settings.
    """

    id: str
    title: str
    about: str
    steps: int
    scheduler: str
    cache: TraCacheConfig

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preset:
        """Inverse of :meth:`to_dict`; keys that it does not know are notes, and ignored.

        Raises
        ------
        ValueError
            If a setting is not allowed.
        """
        cache = TraCacheConfig(**data["cache"])
        return cls(
            data["id"], data["title"], data["about"], data["steps"], data["scheduler"], cache
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values; settings that are the default are left out."""
        default = TraCacheConfig().to_dict()
        cache = {k: v for k, v in self.cache.to_dict().items() if v != default[k]}
        return {**self.__dict__, "cache": cache}


@lru_cache
def load_presets(file: Path) -> dict[str, Preset]:
    """Return the presets of a file by name; none if there is no such file."""
    if not file.is_file():
        return {}
    entries = json.loads(file.read_text(encoding="utf-8"))["presets"]
    presets = [Preset.from_dict(entry) for entry in entries]
    return {preset.id: preset for preset in presets}
