"""What a visitor asks for, checked in full before any work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tracache.caching.calibration import Occasion
from tracache.caching.checks import require_bool, require_choice
from tracache.caching.config import TraCacheConfig
from tracache.caching.declare import PYTHON, Setting, setting, settings_of
from tracache.caching.method_config import MAX_STEPS
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import REFERENCE, SCHEDULES, TRACACHE, Given, Setup
from tracache.compare.arms import ARMS
from tracache.compare.checking import (
    MAX_SEED,
    check_arms,
    check_calibrated,
    check_cost,
    check_negative,
    check_sampling,
    check_size,
    check_subject,
)
from tracache.compare.options import check_options, require_may_set
from tracache.media import VideoSize, pixels_of
from tracache.models.presets import CUSTOM
from tracache.models.registry import find_model, sizes_shown
from tracache.models.sources import digest_of
from tracache.models.spec import ModelSpec
from tracache.models.vocabulary import vocabulary_of
from tracache.settings import Settings

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
        What the image shows, as the model reads it; the class's name where the model takes classes.
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
        Whether to run an arm once more, untimed, to watch every block, and to keep what every
        arm took the picture for at each step.
    options : dict
        The arms' own settings: arm → name → value.
    preset : str
        Where the settings come from, or "custom".
    class_label : int or None
        Number of the class, where the model takes classes.
    negative_prompt : str
        What guidance leads away from, where the model takes that; empty is the model's own.
    reuse_baseline : bool
        Whether the picture of an identical run of full compute that is still at hand will do; it
        is then labelled as reused. A speed-up never comes from its time.
    timed : bool
        Whether the arms are timed together for a speed-up.
    asked : str
        The prompt as it was written, where the model reads other words for it.
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
    timed: bool = True
    asked: str = ""

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

    def occasion(self, environment: Settings | None = None) -> Occasion:
        """What its runs are of, as far as what was calibrated may depend on it."""
        weights = digest_of(self.spec, environment or Settings.from_environment())
        return Occasion(self.model, weights, self.scheduler, self.steps, self.guidance_scale)


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
    timed: bool = True,
    environment: Settings | None = None,
    who: str = PYTHON,
    **settings: Any,
) -> Request:
    """Check what was asked for, fill in the model's defaults, and return the request.

    Parameters
    ----------
    model, prompt, arms, trace, options, reuse_baseline, timed
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
    text, number = check_subject(spec, prompt, class_label, environment)
    words = vocabulary_of(spec, environment or Settings.from_environment())
    read = text if words is None or number is not None else words.understand(text)
    sampling = check_sampling(spec, about)
    if not given.keys() & set(SCHEDULES):
        given["compute"] = PlannedConfig().budget(sampling["steps"])
    cache = replace(spec.cache, **given)
    request = Request(
        model=spec.id,
        prompt=read,
        **sampling,
        cache=cache,
        arms=check_arms(arms, spec, cache.decides_as_it_runs),
        size=check_size(spec, about["frames"], about["resolution"], about["aspect"]),
        trace=require_bool("trace", trace),
        options=check_options(options or {}, who),
        preset=about["preset"],
        class_label=number,
        negative_prompt=check_negative(spec, about["negative_prompt"], sampling["guidance_scale"]),
        reuse_baseline=require_bool("reuse_baseline", reuse_baseline),
        timed=require_bool("timed", timed),
        asked="" if read == text else text,
    )
    check_cost(spec, request.size, request.steps, environment)
    for arm in request.arms:
        # Whatever a setup refuses is refused here, before any work.
        request.set_up(arm, computed=1 if request.waits(arm) else None)
        check_calibrated(arm, request.options, lambda: request.occasion(environment))
    return request
