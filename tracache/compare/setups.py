"""How arms make their setups of what is given, and arms that are made of a triple."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tracache.caching.methods import FasterCacheConfig
from tracache.caching.methods.learned import LearnedConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import Arm, Given, Setup
from tracache.compare.triple import Triple


def own_settings(settings: Any) -> Callable[[Given], Setup]:
    """Return a setup that is a configuration with the arm's own settings."""

    def setup(given: Given) -> Setup:
        config = settings(**given.options)
        config.check_steps(given.num_steps)
        return Setup(given.num_steps, config)

    return setup


def planned(given: Given) -> Setup:
    """Return a plan of the arm's own settings."""
    return Setup(given.num_steps, PlannedConfig(**given.options, **_steps(given)))


def learned(given: Given) -> Setup:
    """Return L2P's weights for as many steps as all others compute."""
    config = LearnedConfig(**given.options)
    config.check_steps(given.num_steps)
    return Setup(given.num_steps, config.forecast(given.budget))


def faster_cache(given: Given) -> Setup:
    """Return FasterCache, which has to know whether there is guidance."""
    return Setup(given.num_steps, FasterCacheConfig(**given.options, guided=given.guided))


def kin(name: str, title: str, summary: str, triple: Triple, caveat: str = "", **more: Any) -> Arm:
    """Return an arm that is the published method with another rule, on the request's schedule."""

    def setup(given: Given) -> Setup:
        return Setup(given.num_steps, replace(triple.refine(given.cache), **more))

    return Arm(name, title, summary, setup, caveat=caveat, triple=triple)


def beside(name: str, title: str, summary: str, triple: Triple, caveat: str = "") -> Arm:
    """Return an arm that places the request's computed steps as its triple says."""
    placed = _placed(lambda given: triple)
    return Arm(name, title, summary, placed, caveat=caveat, plans=True, triple=triple)


def own(name: str, title: str, summary: str) -> Arm:
    """Return an arm whose triple is its settings."""
    placed = _placed(lambda given: Triple(**given.options))
    return Arm(name, title, summary, placed, Triple, plans=True)


def _placed(triple_of: Callable[[Given], Triple]) -> Callable[[Given], Setup]:
    def setup(given: Given) -> Setup:
        config = triple_of(given).configure(given.cache, **_steps(given))
        return Setup(given.num_steps, config)

    return setup


def _steps(given: Given) -> dict[str, Any]:
    """As many steps as all others compute, or exactly those that are given."""
    steps = given.cache.full_steps
    return {"compute": given.budget} if steps is None else {"full_steps": steps}
