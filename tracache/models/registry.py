"""Every model of the demo, by name; what is known of each is in :mod:`tracache.models.entries`."""

from __future__ import annotations

from tracache.models.entries import images, papers, project, videos
from tracache.models.sizes import VideoSizes
from tracache.models.spec import ModelSpec

MODELS: dict[str, ModelSpec] = {
    spec.id: spec for spec in (*project.ENTRIES, *papers.ENTRIES, *images.ENTRIES, *videos.ENTRIES)
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


def sizes_shown(spec: ModelSpec | None = None) -> VideoSizes:
    """Return a model's choice of sizes, or else the first model's that has one.

    For what is common to all models: a page, a command's help.
    """
    there = (spec, *MODELS.values())
    return next(s.sizes for s in there if s is not None and s.sizes is not None)


def takes_class(model_id: str) -> bool:
    """Whether a model makes images of a class rather than a prompt."""
    return find_model(model_id).task == "class-to-image"
