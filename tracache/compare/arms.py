"""Every arm that can be compared, by name.

An arm is the same pipeline with another setup: how many steps it takes, with which scheduler, and
which cache, if any, is attached meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tracache.caching.config import MethodConfig, TraCacheConfig
from tracache.caching.declare import ANYONE, HOST, PYTHON, Setting, settings_of
from tracache.caching.methods import (
    AdaCacheConfig,
    DeltaDiTConfig,
    FasterCacheConfig,
    GatesConfig,
    PABConfig,
    TeaCacheConfig,
    ToCaConfig,
)
from tracache.caching.methods.planned import PlannedConfig

if TYPE_CHECKING:
    from tracache.models.spec import ModelSpec


#: The arm that all others are held against.
REFERENCE = "full"

#: The arm of this project's method, and that of the method as published.
TRACACHE, PUBLISHED = "tracache", "published"

#: What every request says of how many steps compute, and so no arm of its own.
SCHEDULES = ("compute", "stride", "full_steps")


@dataclass(frozen=True)
class Setup:
    """What an arm does with one request.

    Attributes
    ----------
    num_steps : int
        Denoising steps that the scheduler takes.
    cache : a configuration of TraCache or of another method, or None
        The cache attached meanwhile; None computes every step fully.
    scheduler : str or None
        The arm's own scheduler; None is the request's.
    """

    num_steps: int
    cache: MethodConfig | None = None
    scheduler: str | None = None

    @property
    def computed_steps(self) -> tuple[int, ...] | None:
        """Indices of the steps that compute everything.

        None where the run itself decides, or the noise schedule, see
        :func:`tracache.compare.plan.plans`.
        """
        if self.cache is None:
            return tuple(range(self.num_steps))
        return self.cache.plan_steps(self.num_steps)

    @property
    def whole_steps(self) -> bool:
        """Whether each step computes all blocks or none."""
        return self.cache is None or self.cache.whole_steps

    @property
    def num_computed(self) -> int | None:
        """How many steps compute everything; None where the run itself decides."""
        return self.num_steps if self.cache is None else self.cache.budget(self.num_steps)


@dataclass(frozen=True)
class Given:
    """What an arm makes its setup from.

    Attributes
    ----------
    num_steps : int
        Steps of full compute.
    cache : TraCacheConfig
        How many steps compute, and what else the published method and its kin share.
    options : mapping
        The arm's own settings, by name; its defaults where not given.
    guided : bool
        Whether the batch has the two halves of classifier-free guidance.
    computed : int or None
        How many steps' worth of blocks the arm to be matched has computed, once it has run; see
        :attr:`Request.matched <tracache.compare.request.Request.matched>`.
    """

    num_steps: int
    cache: TraCacheConfig
    options: Mapping[str, Any] = field(default_factory=dict)
    guided: bool = True
    computed: int | None = None

    @property
    def budget(self) -> int:
        """How many steps cost as much as the arm to be matched.

        Raises
        ------
        ValueError
            If its run decides that and it has not run.
        """
        if self.computed is not None:
            return self.computed
        steps = self.cache.budget(self.num_steps)
        if steps is None:
            raise ValueError(
                "with stride='auto' this arm takes as many steps as another turns out to "
                "compute: choose TraCache, as published, too, or say how many with compute"
            )
        return steps


@dataclass(frozen=True)
class Arm:
    """An arm.

    Attributes
    ----------
    id, title, summary : str
        Name in code and on the command line, name on the page, one plain sentence.
    setup : callable
        ``setup(given) -> Setup``.
    settings : subclass of MethodConfig, or None
        The arm's own configuration, whose declared settings may be set.
    refusal : callable
        ``refusal(spec) -> str``: why a model cannot run the arm; empty if it can.
    caveat : str
        What a visitor should know before choosing it; may be empty.
    matches : bool
        Whether it takes as many steps as another arm costs.
    plans : bool
        Whether it places the request's computed steps by itself.
    """

    id: str
    title: str
    summary: str
    setup: Callable[[Given], Setup]
    settings: type[MethodConfig] | None = None
    refusal: Callable[[ModelSpec], str] = lambda spec: ""
    caveat: str = ""
    matches: bool = False
    plans: bool = False

    @property
    def forecasts(self) -> bool:
        """Whether it shares the published method's schedule and other settings."""
        return self.settings is None and not self.matches and self.id != REFERENCE

    @property
    def scheduled(self) -> bool:
        """Whether the request says what it computes, or at least what it may cost."""
        return self.forecasts or self.matches or self.plans

    @property
    def options(self) -> dict[str, Setting]:
        """Its own settings, by name."""
        own = {} if self.settings is None else settings_of(self.settings)
        return {k: s for k, s in own.items() if not (self.plans and k in SCHEDULES)}

    @property
    def for_host_only(self) -> bool:
        """Whether it needs what only the host may say, such as the name of a file."""
        return any(option.who != ANYONE for option in self.options.values())


def _cached(**changes: Any) -> Callable[[Given], Setup]:
    return lambda given: Setup(given.num_steps, replace(given.cache, **changes))


def _own(settings: Any) -> Callable[[Given], Setup]:
    def setup(given: Given) -> Setup:
        config = settings(**given.options)
        config.check_steps(given.num_steps)
        return Setup(given.num_steps, config)

    return setup


def _planned(given: Given) -> Setup:
    """As many steps as all others compute, or exactly those that are given."""
    own, steps = given.options, given.cache.full_steps
    how: dict[str, Any] = {"compute": given.budget} if steps is None else {"full_steps": steps}
    return Setup(given.num_steps, PlannedConfig(**own, **how))


def _faster_cache(given: Given) -> Setup:
    return Setup(given.num_steps, FasterCacheConfig(**given.options, guided=given.guided))


def _scheduler(name: str, title: str) -> Arm:
    def refusal(spec: ModelSpec) -> str:
        known = ", ".join(spec.schedulers)
        return "" if name in spec.schedulers else f"{spec.title} runs with {known} only"

    return Arm(
        name,
        f"Fewer steps, {title}",
        f"Full compute with {title}, at as many steps as the cache computes.",
        lambda given: Setup(given.budget, scheduler=name),
        refusal=refusal,
        matches=True,
    )


def _no_scores(spec: ModelSpec) -> str:
    video = spec.task == "text-to-video"
    return "ToCa needs attention scores, which Open-Sora's attention does not show" if video else ""


def _needs_blocks(spec: ModelSpec) -> str:
    unet = spec.denoiser == "unet"
    return f"{spec.title} is a UNet, which has no blocks to cache: choose TraCache" if unet else ""


def _needs_parts(spec: ModelSpec) -> str:
    return f"the parts of the blocks of {spec.title} are not known by name" if spec.stock else ""


def _needs_scores(spec: ModelSpec) -> str:
    return _needs_parts(spec) or _no_scores(spec)


_FORECAST = {"order": "fixed", "weights": ()}

ARMS: dict[str, Arm] = {
    arm.id: arm
    for arm in (
        Arm(
            "full",
            "Full compute",
            "Every block at every step: the reference.",
            lambda given: Setup(given.num_steps),
        ),
        Arm(
            TRACACHE,
            "TraCache",
            "A plan says which steps compute. In between the guided prediction is carried on along "
            "its trajectory at the scheduler, and looked back over once the next one is known.",
            _planned,
            PlannedConfig,
            plans=True,
        ),
        Arm(
            PUBLISHED,
            "TraCache, as published",
            "Skipped steps follow each block's trajectory; its order is chosen per timestep.",
            lambda given: Setup(given.num_steps, given.cache),
            refusal=_needs_blocks,
        ),
        Arm(
            "fewer-steps",
            "Fewer steps",
            "Full compute with as many steps as the cache computes: the same cost, no cache.",
            lambda given: Setup(given.budget),
            matches=True,
        ),
        Arm(
            "reuse",
            "Reuse (FORA)",
            "Skipped steps repeat the last computed features.",
            _cached(rule="reuse", weights=()),
            refusal=_needs_blocks,
        ),
        Arm(
            "taylorseer",
            "TaylorSeer",
            "Skipped steps follow a Taylor series from backward differences, at the highest order.",
            _cached(**_FORECAST, rule="taylor"),
            refusal=_needs_blocks,
        ),
        Arm(
            "tracache-fixed",
            "TraCache, fixed order",
            "As published, but always at the highest order.",
            _cached(**_FORECAST, rule="lagrange"),
            refusal=_needs_blocks,
        ),
        Arm(
            "hicache",
            "HiCache",
            "TaylorSeer's differences in a contracted Hermite basis, over the steps' indices.",
            _cached(**_FORECAST, rule="hermite", abscissa="step"),
            refusal=_needs_blocks,
        ),
        Arm(
            "delta-dit",
            "Δ-DiT",
            "Skipped steps repeat what half of the blocks changed: back ones first, then front.",
            _own(DeltaDiTConfig),
            DeltaDiTConfig,
            refusal=_needs_parts,
        ),
        Arm(
            "pab",
            "PAB",
            "Self-attention, cross-attention and MLP outputs are each broadcast over some steps.",
            _own(PABConfig),
            PABConfig,
            refusal=_needs_parts,
        ),
        Arm(
            "teacache",
            "TeaCache",
            "Blocks run once the timestep's embedding has changed enough since they last did.",
            _own(TeaCacheConfig),
            TeaCacheConfig,
            caveat="No rescaling coefficients are published for this architecture: changes count "
            "as they are. Waits for the device at every step.",
            refusal=_needs_parts,
        ),
        Arm(
            "adacache",
            "AdaCache",
            "How much attention changed decides how many steps repeat the outputs.",
            _own(AdaCacheConfig),
            AdaCacheConfig,
            caveat="Its motion weighting is for video and is left out. Waits for the device at "
            "every computed step.",
            refusal=_needs_parts,
        ),
        Arm(
            "fastercache",
            "FasterCache",
            "Attention outputs drift on between steps; guidance's other half is restored from "
            "its frequencies.",
            _faster_cache,
            FasterCacheConfig,
            refusal=_needs_parts,
        ),
        Arm(
            "toca",
            "ToCa",
            "Skipped steps compute the MLP of the tokens that matter most.",
            _own(ToCaConfig),
            ToCaConfig,
            caveat="Needs attention scores, which fast attention kernels do not give, so its "
            "computed steps are slower than everyone else's.",
            refusal=_needs_scores,
        ),
        Arm(
            "gates",
            "Gates from a file",
            "A table says which block computes at which step (for L2C, LazyDiT and the like).",
            _own(GatesConfig),
            GatesConfig,
            caveat="Needs a gate file, which L2C and LazyDiT do not publish in usable form: give "
            "one on the command line (--option gates.file=PATH) or in Python (GatesConfig).",
            refusal=_needs_parts,
        ),
        _scheduler("dpm-solver++", "DPM-Solver++"),
        _scheduler("ddim", "DDIM"),
        _scheduler("deis", "DEIS"),
        _scheduler("ddpm", "DDPM"),
    )
}


def find_arm(arm_id: str) -> Arm:
    """Return the arm of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if arm_id not in ARMS:
        raise ValueError(f"unknown arm {arm_id!r}; choose from {', '.join(ARMS)}")
    return ARMS[arm_id]


#: Those who may set settings, in the order of what they may.
_RANKS = (ANYONE, HOST, PYTHON)


def require_may_set(setting: Setting, who: str) -> None:
    """Raise ValueError where somebody may not set a setting.

    Parameters
    ----------
    setting : Setting
        What is to be set.
    who : {"anyone", "host", "python"}
        Who sets it: the page, a link or a program; the command line; Python.
    """
    if _RANKS.index(setting.who) > _RANKS.index(who):
        where = "on the command line or in Python" if setting.who == HOST else "in Python"
        raise ValueError(f"{setting.name} can be set {where} only")


def check_options(
    options: Mapping[str, Mapping[str, Any]], who: str = PYTHON
) -> dict[str, dict[str, Any]]:
    """Return the arms' own settings if they are allowed.

    Parameters
    ----------
    options : mapping
        Arm → setting → value.
    who : {"anyone", "host", "python"}, default "python"
        Who sets them, see :func:`require_may_set`.

    Raises
    ------
    ValueError
        If an arm or setting is unknown or a value not allowed; the message says what is.
    """
    checked: dict[str, dict[str, Any]] = {}
    for name, values in options.items():
        arm = find_arm(name)
        if not isinstance(values, Mapping):
            raise ValueError(f"the options of {name} must be names with values, got {values!r}")
        for option in values:
            if option not in arm.options:
                there = ", ".join(sorted(arm.options)) or "none"
                raise ValueError(f"{name} has no option {option!r}; it has {there}")
            require_may_set(arm.options[option], who)
        if arm.settings is not None and values:
            try:
                arm.settings(**values)
            except ValueError as error:
                raise ValueError(f"{arm.title}: {error}") from None
        checked[name] = dict(values)
    return checked
