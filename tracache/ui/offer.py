"""Which models this page offers."""

from __future__ import annotations

from typing import Any

from tracache.models.bring import bring_all
from tracache.models.registry import DEFAULT_MODEL, MODELS, find_model
from tracache.models.spec import ModelSpec
from tracache.settings import Settings


def offered(settings: Settings) -> list[ModelSpec]:
    """Return the models that the page offers, its first choice first.

    Raises
    ------
    ValueError
        If ``TRACACHE_OFFER`` names one that there is not.
    """
    bring_all(settings)
    names = settings.offered or (DEFAULT_MODEL, *(m for m in MODELS if m != DEFAULT_MODEL))
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise ValueError(f"TRACACHE_OFFER names {unknown[0]!r}; choose from {', '.join(MODELS)}")
    return [MODELS[name] for name in dict.fromkeys(names)]


def require_offered(model: Any, settings: Settings) -> None:
    """Raise for a model that there is not, or that this page does not offer.

    Raises
    ------
    ValueError
        The message lists those that it offers.
    """
    spec = find_model(model)
    there = offered(settings)
    if spec not in there:
        names = ", ".join(entry.id for entry in there)
        raise ValueError(f"the model {model} is not offered here; choose from {names}")
