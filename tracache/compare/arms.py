"""Every arm that can be compared, by name.

An arm is the same pipeline with another setup: how many steps it takes, with which scheduler, and
which cache, if any, is attached meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from tracache.caching.config import TraCacheConfig
from tracache.caching.methods import (
    AdaCacheConfig,
    CacheConfig,
    DeltaDiTConfig,
    FasterCacheConfig,
    GatesConfig,
    PABConfig,
    TeaCacheConfig,
    ToCaConfig,
)

if TYPE_CHECKING:
    from tracache.models.spec import ModelSpec


#: The arm that all others are held against.
REFERENCE = "full"


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
    cache: CacheConfig | None = None
    scheduler: str | None = None

    @property
    def computed_steps(self) -> tuple[int, ...] | None:
        """Indices of the steps that compute everything; None where the run itself decides."""
        if self.cache is None:
            return tuple(range(self.num_steps))
        return self.cache.plan_steps(self.num_steps)


@dataclass(frozen=True)
class Given:
    """What an arm makes its setup from.

    Attributes
    ----------
    num_steps : int
        Steps of full compute.
    cache : TraCacheConfig
        The settings that TraCache and its kin share.
    options : mapping
        The arm's own settings, by name; its defaults where not given.
    guided : bool
        Whether the batch has the two halves of classifier-free guidance.
    computed : int or None
        How many steps' worth of blocks the arm to be matched has computed, once it has run: the
        one of TraCache, or else the first that caches.
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
        steps = self.cache.plan_steps(self.num_steps)
        if steps is None:
            raise ValueError(
                "with stride='auto' this arm takes as many steps as another turns out to "
                "compute: choose TraCache too"
            )
        return len(steps)


@dataclass(frozen=True)
class Arm:
    """An arm.

    Attributes
    ----------
    id, title, summary : str
        Name in code and on the command line, name on the page, one plain sentence.
    setup : callable
        ``setup(asked) -> Setup``.
    settings : dataclass or None
        Class of the arm's own configuration, whose fields with metadata may be set.
    refusal : callable
        ``refusal(spec) -> str``: why a model cannot run the arm; empty if it can.
    caveat : str
        What a visitor should know before choosing it; may be empty.
    matches : bool
        Whether it takes as many steps as another arm costs.
    """

    id: str
    title: str
    summary: str
    setup: Callable[[Given], Setup]
    settings: type | None = None
    refusal: Callable[[ModelSpec], str] = lambda spec: ""
    caveat: str = ""
    matches: bool = False

    @property
    def forecasts(self) -> bool:
        """Whether it shares TraCache's schedule and other settings."""
        return self.settings is None and not self.matches and self.id not in (REFERENCE, "gates")

    @property
    def scheduled(self) -> bool:
        """Whether the stride says what it computes, or at least what it may cost."""
        return self.forecasts or self.matches

    @property
    def options(self) -> dict[str, Any]:
        """The fields of :attr:`settings` that may be set, by name."""
        if self.settings is None:
            return {}
        return {f.name: f for f in fields(self.settings) if "label" in f.metadata}


def _cached(**changes: Any) -> Callable[[Given], Setup]:
    return lambda asked: Setup(asked.num_steps, replace(asked.cache, **changes))


def _own(settings: Any) -> Callable[[Given], Setup]:
    return lambda asked: Setup(asked.num_steps, settings(**asked.options))


def _faster_cache(asked: Given) -> Setup:
    return Setup(asked.num_steps, FasterCacheConfig(**asked.options, guided=asked.guided))


def _gates(asked: Given) -> Setup:
    if not isinstance(asked.options.get("file"), str):
        raise ValueError("the arm gates needs a table: give it as --option gates.file=PATH")
    config = GatesConfig.from_file(asked.options["file"])
    if len(config.gates) != asked.num_steps:
        raise ValueError(f"the gates are for {len(config.gates)} steps, not {asked.num_steps}")
    return Setup(asked.num_steps, config)


def _scheduler(name: str, title: str) -> Arm:
    def refusal(spec: ModelSpec) -> str:
        known = ", ".join(spec.schedulers)
        return "" if name in spec.schedulers else f"{spec.title} runs with {known} only"

    return Arm(
        name,
        f"Fewer steps, {title}",
        f"Full compute with {title}, at as many steps as the cache computes.",
        lambda asked: Setup(asked.budget, scheduler=name),
        refusal=refusal,
        matches=True,
    )


def _no_scores(spec: ModelSpec) -> str:
    video = spec.task == "text-to-video"
    return "ToCa needs attention scores, which Open-Sora's attention does not show" if video else ""


_FORECAST = {"order": "fixed", "weights": ()}

ARMS: dict[str, Arm] = {
    arm.id: arm
    for arm in (
        Arm(
            "full",
            "Full compute",
            "Every block at every step: the reference.",
            lambda asked: Setup(asked.num_steps),
        ),
        Arm(
            "tracache",
            "TraCache",
            "Skipped steps follow the trajectory; its order is chosen per timestep.",
            lambda asked: Setup(asked.num_steps, asked.cache),
        ),
        Arm(
            "fewer-steps",
            "Fewer steps",
            "Full compute with as many steps as the cache computes: the same cost, no cache.",
            lambda asked: Setup(asked.budget),
            matches=True,
        ),
        Arm(
            "reuse",
            "Reuse (FORA)",
            "Skipped steps repeat the last computed features.",
            _cached(rule="reuse", weights=()),
        ),
        Arm(
            "taylorseer",
            "TaylorSeer",
            "Skipped steps follow a Taylor series from backward differences, at the highest order.",
            _cached(**_FORECAST, rule="taylor"),
        ),
        Arm(
            "tracache-fixed",
            "TraCache, fixed order",
            "Skipped steps follow the trajectory, always at the highest order.",
            _cached(**_FORECAST, rule="lagrange"),
        ),
        Arm(
            "hicache",
            "HiCache",
            "TaylorSeer's differences in a contracted Hermite basis, over the steps' indices.",
            _cached(**_FORECAST, rule="hermite", abscissa="step"),
        ),
        Arm(
            "delta-dit",
            "Δ-DiT",
            "Skipped steps repeat what half of the blocks changed: back ones first, then front.",
            _own(DeltaDiTConfig),
            DeltaDiTConfig,
        ),
        Arm(
            "pab",
            "PAB",
            "Self-attention, cross-attention and MLP outputs are each broadcast over some steps.",
            _own(PABConfig),
            PABConfig,
        ),
        Arm(
            "teacache",
            "TeaCache",
            "Blocks run once the timestep's embedding has changed enough since they last did.",
            _own(TeaCacheConfig),
            TeaCacheConfig,
            caveat="No rescaling coefficients are published for this architecture: changes count "
            "as they are. Waits for the device at every step.",
        ),
        Arm(
            "adacache",
            "AdaCache",
            "How much attention changed decides how many steps repeat the outputs.",
            _own(AdaCacheConfig),
            AdaCacheConfig,
            caveat="Its motion weighting is for video and is left out. Waits for the device at "
            "every computed step.",
        ),
        Arm(
            "fastercache",
            "FasterCache",
            "Attention outputs drift on between steps; guidance's other half is restored from "
            "its frequencies.",
            _faster_cache,
            FasterCacheConfig,
        ),
        Arm(
            "toca",
            "ToCa",
            "Skipped steps compute the MLP of the tokens that matter most.",
            _own(ToCaConfig),
            ToCaConfig,
            caveat="Needs attention scores, which fast attention kernels do not give, so its "
            "computed steps are slower than everyone else's.",
            refusal=_no_scores,
        ),
        Arm(
            "gates",
            "Gates from a file",
            "A table says which block computes at which step (for L2C, LazyDiT and the like).",
            _gates,
            caveat="Needs a gate file, which L2C and LazyDiT do not publish in usable form: give "
            "one on the command line (--option gates.file=PATH) or in Python (GatesConfig).",
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


def check_options(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the arms' own settings if they are allowed.

    Parameters
    ----------
    options : mapping
        Arm → setting → value.

    Raises
    ------
    ValueError
        If an arm or setting is unknown or a value not allowed; the message says what is.
    """
    checked: dict[str, dict[str, Any]] = {}
    for arm, values in options.items():
        method = find_arm(arm)
        if not isinstance(values, Mapping):
            raise ValueError(f"the options of {arm} must be names with values, got {values!r}")
        known = {*method.options, *(["file"] if arm == "gates" else [])}
        for name in values:
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{arm} has no option {name!r}; it has {there}")
        if method.settings is not None:
            try:
                method.settings(**values)
            except ValueError as error:
                raise ValueError(f"{method.title}: {error}") from None
        checked[arm] = dict(values)
    return checked
