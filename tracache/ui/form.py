"""From what the controls hold to a checked request, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracache.caching.checks import require_choice
from tracache.caching.declare import ANYONE
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import REFERENCE, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.request import Request, make_request
from tracache.media import VideoSize
from tracache.models.presets import CUSTOM
from tracache.models.registry import find_model, sizes_shown, takes_class
from tracache.models.spec import ModelSpec
from tracache.settings import Settings
from tracache.ui.arms import (
    ADAPTIVE,
    BY_NUMBER,
    BY_STRIDE,
    MAX_ARMS,
    WAYS,
    follow_budget,
)
from tracache.ui.numbers import whole
from tracache.ui.setting_controls import ON_PAGE
from tracache.ui.widgets.options import NOT_HERE, PLACES, given_options, show_options

#: What the videos of some models measure.
SIZE = ("frames", "resolution", "aspect")


def read_request(values: Mapping[str, Any], settings: Settings | None = None) -> Request:
    """Return the request that the controls make.

    Parameters
    ----------
    values : mapping
        What each control holds.
    settings : Settings, optional
        Of the process; from the environment if not given.

    Raises
    ------
    ValueError
        If anything is not allowed; the message says what to do.
    """
    randomise = values["randomise"] is True
    if values["seed"] is None and not randomise:
        raise ValueError("seed is empty: enter a number, or randomise it")
    spec = find_model(values["model"])
    arm = values["arm"]
    also = values["also"] or []
    if not isinstance(also, list):
        raise ValueError("also must be a list of arms")
    if len(also) > MAX_ARMS - 2:
        raise ValueError("compare with two more at most: four pictures fit the page")
    if arm in also:
        raise ValueError(f"{ARMS[arm].title} is chosen already: compare it with another arm")
    for name in (arm, *also):
        if name in NOT_HERE:
            raise ValueError(f"the arm {name} is not on the page: {ARMS[name].caveat}")
    cache = {name: whole(values[name]) for name in ON_PAGE}
    when = require_choice("when", values["when"], [way for _, way in WAYS])
    steps = whole(values["steps"])
    if _beyond(cache["compute"], steps):
        # Sent before the page had followed a new number of steps; what it would have said counts.
        cache["compute"] = follow_budget(steps)
    if when != BY_NUMBER:
        del cache["compute"]
    if when == ADAPTIVE:
        cache["stride"] = ADAPTIVE
    # Where presets mean nothing they are out of sight, but not forgotten.
    scheduled = arm not in ARMS or ARMS[arm].scheduled
    prompt, label = values["prompt"] or "", values["class_label"]
    return make_request(
        values["model"],
        # The box of the other kind is hidden, whatever it holds.
        **({"class_label": whole(label)} if takes_class(values["model"]) else {"prompt": prompt}),
        seed=None if randomise else whole(values["seed"]),
        steps=steps,
        guidance_scale=values["guidance_scale"],
        # Out of sight where the model takes none, whatever it holds.
        negative_prompt=values["negative_prompt"] if spec.takes_negative else None,
        scheduler=values["scheduler"],
        arms=[arm, *also],
        options=_own_options(values, spec),
        preset=values["preset"] if scheduled else CUSTOM,
        reuse_baseline=values["reuse_baseline"],
        # Out of sight, and without meaning, for models of one size.
        **({name: whole(values[name]) for name in SIZE} if spec.resizable else {}),
        environment=settings,
        who=ANYONE,
        **cache,
    )


def _own_options(values: Mapping[str, Any], spec: ModelSpec) -> dict[str, dict[str, Any]]:
    """Return what is set of the arm's own settings, but for what is its default anyway."""
    arm = values["arm"]
    given = {k: v for place in PLACES for k, v in given_options(values[place]).items()}.get(arm, {})
    known = ARMS[arm].offered if arm in ARMS else {}
    # What only videos know is out of sight for images, and what is empty is the default.
    unseen = {name for name, option in known.items() if option.video and not spec.makes_video}
    own = {
        name: whole(value)
        for name, value in given.items()
        if name not in unseen and value is not None
        if name not in known or value != known[name].default
    }
    return {arm: own} if own else {}


def _beyond(compute: Any, steps: Any) -> bool:
    """Whether both are numbers of steps, and more would compute than there are."""
    numbers = type(compute) is int and type(steps) is int
    return numbers and 1 <= steps < compute


def fill_controls(request: Request) -> dict[str, Any]:
    """Return what the controls hold to make a request; the inverse of :func:`read_request`."""
    arms = [arm for arm in request.arms if arm != REFERENCE] or [TRACACHE]
    first = request.matched or arms[0]
    cache, auto = request.cache, request.cache.decides_as_it_runs
    by_stride = cache.compute is None and cache.full_steps is None
    # Exactly these steps are at least as many; a preset's are its own affair.
    budget = cache.budget(request.steps) or PlannedConfig().budget(request.steps)
    return {
        "model": request.model,
        "prompt": request.prompt if request.class_label is None else "",
        "class_label": request.class_label,
        "seed": request.seed,
        "randomise": False,
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "negative_prompt": request.negative_prompt,
        "scheduler": request.scheduler,
        **{name: getattr(cache, name) for name in ON_PAGE},
        **({"stride": request.spec.cache.stride} if cache.stride == ADAPTIVE else {}),
        "compute": cache.compute if cache.compute is not None else budget,
        "when": ADAPTIVE if auto else BY_STRIDE if by_stride else BY_NUMBER,
        "arm": first,
        "also": [arm for arm in arms if arm != first],
        "preset": request.preset,
        "reuse_baseline": request.reuse_baseline,
        **_size(request),
        **{place: show_options(place, first, request.spec, request.options) for place in PLACES},
    }


def _size(request: Request) -> dict[str, Any]:
    size, sizes = request.size, sizes_shown(request.spec)
    if not isinstance(size, VideoSize):
        return {"frames": sizes.frames, "resolution": sizes.resolution, "aspect": sizes.ratio}
    named = sizes.name_or_default(size)
    return {"frames": size.frames, "resolution": named[0], "aspect": named[1]}
