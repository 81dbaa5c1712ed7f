"""What a visitor asks for, checked in full before any work starts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tracache.caching.checks import require_bool, require_choice, require_integer, require_number
from tracache.caching.config import MAX_STEPS, TraCacheConfig
from tracache.caching.declare import PYTHON, Setting, setting, settings_of
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arms import (
    ARMS,
    PUBLISHED,
    REFERENCE,
    SCHEDULES,
    TRACACHE,
    Given,
    Setup,
    check_options,
    find_arm,
    require_may_set,
)
from tracache.media import VideoSize, pixels_of
from tracache.models.presets import CUSTOM
from tracache.models.registry import find_model, sizes_shown
from tracache.models.sources import labels_of, missing
from tracache.models.spec import ModelSpec
from tracache.settings import Settings

MAX_SEED = 2**32 - 1

#: What the declarations say of videos.
_SIZES = sizes_shown()


@dataclass(frozen=True)
class Request:
    """One comparison; made by :func:`make_request`, which checks every field.

    Attributes
    ----------
    model : str
        A key of the registry.
    prompt : str
        What the image shows; the class's name where the model takes classes.
    seed : int
        Of the initial noise, 0 … 2³² − 1.
    steps : int
        Denoising steps of full compute.
    guidance_scale : float
        Of classifier-free guidance; up to 1 there is none.
    scheduler : str
        One of the model's schedulers.
    cache : TraCacheConfig
        How many steps compute, for every arm that has a plan, and the settings of the published
        method and its kin.
    arms : tuple of str
        Arms in the order they run; full compute, the reference, is always the first.
    size : int or VideoSize
        Height and width of the image, pixels; or what the video measures.
    trace : bool
        Whether to run an arm once more, untimed, to watch every block.
    options : dict
        The arms' own settings: arm → name → value.
    preset : str
        Where the settings come from, or "custom".
    class_label : int or None
        Number of the class, where the model takes classes.
    negative_prompt : str
        What guidance leads away from, where the model takes that; empty is the model's own.
    reuse_baseline : bool
        Whether an identical run of full compute that is still at hand will do; it is then
        labelled as reused, and keeps its own recorded time.
    """

    model: str
    prompt: str
    seed: int
    steps: int
    guidance_scale: float
    scheduler: str
    cache: TraCacheConfig
    arms: tuple[str, ...]
    size: int | VideoSize
    trace: bool = True
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    preset: str = CUSTOM
    class_label: int | None = None
    negative_prompt: str = ""
    reuse_baseline: bool = False

    @property
    def subject(self) -> str | int:
        """What the model's family reads: the prompt, or the number of the class."""
        return self.prompt if self.class_label is None else self.class_label

    def set_up(self, arm: str, computed: int | None = None) -> Setup:
        """Return an arm's setup; ``computed`` as for :class:`~tracache.compare.arms.Given`."""
        return ARMS[arm].setup(
            Given(
                self.steps,
                self.cache,
                self.options.get(arm, {}),
                self.guidance_scale > 1.0,
                computed,
            )
        )

    @property
    def cost(self) -> int:
        """Pixels × frames × steps of full compute; what :attr:`ModelSpec.max_cost` limits."""
        return pixels_of(self.size) * self.steps

    @property
    def matched(self) -> str | None:
        """The arm whose cost others match: the first that caches."""
        cached = [a for a in self.arms if a != REFERENCE and not ARMS[a].matches]
        return cached[0] if cached else None

    def waits(self, arm: str) -> bool:
        """Whether an arm's setup needs to know what :attr:`matched` has computed."""
        if self.matched in (None, arm):
            return False
        return ARMS[arm].matches or (ARMS[arm].plans and self.cache.decides_as_it_runs)

    @property
    def spec(self) -> ModelSpec:
        """The model's entry in the registry."""
        return find_model(self.model)


@dataclass(frozen=True)
class Sampling:
    """What a request may say of how its sample is made; None is the model's default."""

    seed: int | None = setting(
        None,
        kind="whole",
        low=0,
        high=MAX_SEED,
        label="Seed",
        help="Of the initial noise; drawn if not given.",
    )
    steps: int | None = setting(
        None,
        kind="whole",
        low=1,
        high=MAX_STEPS,
        label="Steps",
        help="Denoising steps of full compute; the model's default if not given.",
    )
    guidance_scale: float | None = setting(
        None,
        kind="number",
        low=0,
        high=100,
        label="Guidance scale",
        help="Strength of the prompt, 1 is none; the model's default if not given.",
    )
    negative_prompt: str | None = setting(
        None,
        kind="text",
        label="Negative prompt",
        help="What guidance leads away from, where the model's pipeline takes it.",
    )
    scheduler: str | None = setting(
        None,
        kind="text",
        label="Scheduler",
        help="One of the model's schedulers; its first if not given.",
    )
    frames: int | None = setting(
        None,
        kind="whole",
        low=1,
        high=_SIZES.max_frames,
        label="Frames",
        help="Of a video, where the model makes more than one length.",
    )
    resolution: str | None = setting(
        None,
        kind="text",
        label="Resolution",
        help=f"Of a video, where there is a choice: {', '.join(_SIZES.resolutions)}.",
    )
    aspect: str | None = setting(
        None,
        kind="text",
        label="Height to width",
        help=f"Of a video, where there is a choice: {', '.join(_SIZES.ratios)}.",
    )
    preset: str = setting(
        CUSTOM,
        kind="text",
        label="Preset",
        help="Settings chosen beforehand, by name, in place of steps, scheduler and the cache's.",
    )


#: Everything a request may set, of its sample and of the published method, by name.
SETTINGS: dict[str, Setting] = {**settings_of(Sampling), **settings_of(TraCacheConfig)}


def make_request(
    model: str,
    prompt: str | None = None,
    *,
    class_label: str | int | None = None,
    arms: Sequence[str] = (TRACACHE,),
    trace: bool = True,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    reuse_baseline: bool = False,
    environment: Settings | None = None,
    who: str = PYTHON,
    **settings: Any,
) -> Request:
    """Check what was asked for, fill in the model's defaults, and return the request.

    Parameters
    ----------
    model, prompt, arms, trace, options, reuse_baseline
        See :class:`Request`.
    class_label : str or int, optional
        In place of the prompt where the model takes classes: a number, a name or a synonym.
    environment : Settings, optional
        Says where the models' files are, which name the classes; by default the process's.
    who : {"anyone", "host", "python"}, default "python"
        Who asks: the page, a link or a program; the command line; Python. Some settings are not
        for everybody.
    **settings
        Fields of :class:`Sampling` and of :class:`~tracache.caching.config.TraCacheConfig`;
        None, like what is left out, is the model's default. Where none of ``compute``, ``stride``
        and ``full_steps`` is given, as many steps compute as
        :class:`~tracache.methods.PlannedConfig` takes by default. A preset takes the place of the
        number of steps, the scheduler and all other fields of TraCacheConfig.

    Raises
    ------
    ValueError
        If anything is not allowed; the message says what to do.
    """
    spec = find_model(model)
    given = {name: value for name, value in settings.items() if value is not None}
    for name in settings:
        if name not in SETTINGS:
            raise ValueError(f"unknown setting {name}")
    for name in given:
        require_may_set(SETTINGS[name], who)
    about = {name: given.pop(name, SETTINGS[name].default) for name in settings_of(Sampling)}
    if about["preset"] != CUSTOM:
        chosen = spec.presets[require_choice("preset", about["preset"], (CUSTOM, *spec.presets))]
        about |= {"steps": chosen.steps, "scheduler": chosen.scheduler}
        given = chosen.cache.to_dict()
    text, number = _check_subject(spec, prompt, class_label, environment)
    sampling = _check_sampling(spec, about)
    if not given.keys() & set(SCHEDULES):
        given["compute"] = PlannedConfig().budget(sampling["steps"])
    cache = replace(spec.cache, **given)
    request = Request(
        model=spec.id,
        prompt=text,
        **sampling,
        cache=cache,
        arms=_check_arms(arms, spec, cache.decides_as_it_runs),
        size=_check_size(spec, about["frames"], about["resolution"], about["aspect"]),
        trace=require_bool("trace", trace),
        options=check_options(options or {}, who),
        preset=about["preset"],
        class_label=number,
        negative_prompt=_check_negative(spec, about["negative_prompt"], sampling["guidance_scale"]),
        reuse_baseline=require_bool("reuse_baseline", reuse_baseline),
    )
    _check_cost(request, 1.0 if environment is None else environment.ceiling)
    for arm in request.arms:
        # Whatever a setup refuses is refused here, before any work.
        request.set_up(arm, computed=1 if request.waits(arm) else None)
    return request


def _check_sampling(spec: ModelSpec, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return seed, steps, guidance and scheduler, within what the model allows."""
    seed, steps, guidance, scheduler = (
        about[name] for name in ("seed", "steps", "guidance_scale", "scheduler")
    )
    seed = random.randint(0, MAX_SEED) if seed is None else seed
    guidance = spec.guidance_scale if guidance is None else guidance
    return {
        "seed": require_integer("seed", seed, 0, MAX_SEED),
        "steps": require_integer("steps", steps, 1, spec.max_steps)
        if steps is not None
        else spec.steps,
        "guidance_scale": require_number("guidance_scale", guidance, 0.0, spec.max_guidance_scale),
        "scheduler": spec.schedulers[0]
        if scheduler is None
        else require_choice("scheduler", scheduler, spec.schedulers),
    }


def _check_size(
    spec: ModelSpec, frames: int | None, resolution: str | None, aspect: str | None
) -> int | VideoSize:
    """Return what the picture will measure."""
    if frames is resolution is aspect is None:
        return spec.size
    sizes, own = spec.sizes, spec.size
    if sizes is None or not isinstance(own, VideoSize):
        raise ValueError(
            f"{spec.title} makes one size only: leave out frames, resolution and aspect"
        )
    height, width = own.height, own.width
    if resolution is not None or aspect is not None:
        named = sizes.name_or_default(own)
        height, width = sizes.size_of(resolution or named[0], aspect or named[1])
    frames = own.frames if frames is None else frames
    frames = require_integer("frames", frames, 1, sizes.max_frames)
    return VideoSize(height, width, frames, own.fps)


def _check_cost(request: Request, share: float) -> None:
    """Refuse what would take longer than so large a share of what a model's requests may."""
    spec, size = request.spec, request.size
    most = int(share * spec.max_cost)
    if request.cost <= most:
        return
    steps = most // pixels_of(size)
    fewer = f"take {steps} steps or fewer" if steps else "take fewer steps"
    others = ", or fewer frames or a lower resolution" if spec.resizable else ""
    frames = f"{size.frames} frames of " if isinstance(size, VideoSize) else ""
    width, height = (size.width, size.height) if isinstance(size, VideoSize) else (size, size)
    raise ValueError(
        f"{frames}{width} × {height} pixels in {request.steps} steps are "
        f"{request.cost / most:.2f} times what {spec.title} may take "
        f"({request.cost / 1e6:,.0f} of {most / 1e6:,.0f} million pixels × frames × "
        f"steps): {fewer}{others}",
    )


def _check_subject(
    spec: ModelSpec, prompt: Any, class_label: Any, environment: Settings | None
) -> tuple[str, int | None]:
    """Return the prompt and no class, or the class's name and number."""
    if spec.task != "class-to-image":
        if class_label is not None:
            raise ValueError(f"{spec.title} takes a prompt, not a class: leave out class_label")
        return _check_prompt(prompt, spec.max_prompt_length), None
    if prompt is not None:
        raise ValueError(f"{spec.title} takes a class, not a prompt: give class_label")
    environment = environment or Settings.from_environment()
    labels = labels_of(spec, environment)
    if labels is None:
        why = missing(spec, environment)
        raise ValueError(why or f"the classes of {spec.title} are not known: its files name none")
    if class_label is None:
        raise ValueError("class_label is empty: choose a class")
    number = labels.find(class_label)
    return labels.names[number], number


def _check_prompt(prompt: Any, longest: int, what: str = "prompt") -> str:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"the {what} is empty: describe what the image should show")
    prompt = " ".join(prompt.split())
    if len(prompt) > longest:
        raise ValueError(
            f"the {what} has {len(prompt):,} characters; shorten it to {longest} or fewer"
        )
    if not prompt.isprintable():
        raise ValueError(f"the {what} has unprintable characters; remove them")
    return prompt


def _check_negative(spec: ModelSpec, negative: Any, guidance_scale: float) -> str:
    """Return the negative prompt; empty where there is none."""
    if negative is None or (isinstance(negative, str) and not negative.strip()):
        return ""
    if not spec.takes_negative:
        raise ValueError(f"{spec.title} takes no negative prompt: leave out negative_prompt")
    if guidance_scale <= 1.0:
        raise ValueError(
            "a negative prompt is what guidance leads away from, and there is none: set "
            "guidance_scale above 1, or leave out negative_prompt"
        )
    return _check_prompt(negative, spec.max_prompt_length, "negative prompt")


def _check_arms(arms: Any, spec: ModelSpec, decides: bool) -> tuple[str, ...]:
    """Return the arms in the order they run; ``decides``: whether a run says what it computes."""
    if isinstance(arms, str) or not all(isinstance(arm, str) for arm in arms):
        raise ValueError(f"arms must be a list of names from {', '.join(ARMS)}")
    chosen = dict.fromkeys(find_arm(arm).id for arm in arms if arm != REFERENCE)
    for arm in chosen:
        if why := ARMS[arm].refusal(spec):
            raise ValueError(f"{ARMS[arm].title} is not for this model: {why}")

    def place(arm: str) -> tuple[bool, ...]:
        # Whatever takes as many steps as another arm costs must know how many that were.
        waits = decides and ARMS[arm].plans
        return ARMS[arm].matches, waits, arm != TRACACHE, arm != PUBLISHED

    return (REFERENCE, *sorted(chosen, key=place))
