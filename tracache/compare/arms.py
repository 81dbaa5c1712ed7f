"""Every arm that can be compared, by name.

An arm is the same pipeline with another setup: how many steps it takes, with which scheduler, and
which cache, if any, is attached meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracache.caching.methods import (
    AdaCacheConfig,
    DeltaDiTConfig,
    EasyCacheConfig,
    FasterCacheConfig,
    FirstBlockConfig,
    GatesConfig,
    MagCacheConfig,
    PABConfig,
    SeaCacheConfig,
    SpeCaConfig,
    TeaCacheConfig,
    ToCaConfig,
)
from tracache.caching.methods.learned import LearnedConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import PUBLISHED, TRACACHE, Arm, Given, Setup

if TYPE_CHECKING:
    from tracache.models.spec import ModelSpec


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


def _learned(given: Given) -> Setup:
    """As many steps as all others compute, of those that weights were fitted for."""
    config = LearnedConfig(**given.options)
    config.check_steps(given.num_steps)
    return Setup(given.num_steps, config.forecast(given.budget))


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
            "As published, but always at the highest order.",
            _cached(**_FORECAST, rule="lagrange"),
        ),
        Arm(
            "hicache",
            "HiCache",
            "TaylorSeer's differences in a contracted Hermite basis, over the steps' indices.",
            _cached(**_FORECAST, rule="hermite", abscissa="step"),
        ),
        Arm(
            "spectrum",
            "Spectrum",
            "Skipped steps follow Chebyshev polynomials, ridge-fitted to all computed steps, half "
            "blended with a line.",
            _cached(**_FORECAST, rule="chebyshev", abscissa="step", max_order=4),
            caveat="On the schedule of the arms beside it, where its own computes the first steps "
            "and then ever fewer. Keeps every computed step.",
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
            "first-block",
            "FirstBlockCache",
            "The first block always runs; the others do once what it changes has changed enough.",
            _own(FirstBlockConfig),
            FirstBlockConfig,
            caveat="Waits for the device at every step.",
            refusal=_needs_parts,
        ),
        Arm(
            "mag",
            "MagCache",
            "Blocks run once the calibrated ratios of what they change from step to step have "
            "gone far enough from 1.",
            _own(MagCacheConfig),
            MagCacheConfig,
            caveat="Calibrated: needs the ratios of this model and scheduler. Measure them with "
            "python -m tracache calibrate --what magnitudes, and give the file on the command line "
            "(--option mag.file=PATH) or ratios in Python (MagCacheConfig).",
            refusal=_needs_parts,
        ),
        Arm(
            "l2p",
            "L2P",
            "Skipped steps are the linear prediction from the computed ones that was best on "
            "other prompts, step by step.",
            _learned,
            LearnedConfig,
            caveat="Calibrated: needs weights fitted on this model and scheduler. Fit them with "
            "python -m tracache calibrate --what weights, and give the file on the command line "
            "(--option l2p.file=PATH).",
            refusal=_needs_parts,
            plans=True,
        ),
        Arm(
            "easy",
            "EasyCache",
            "The denoiser runs once its input has changed so much that its output should have too.",
            _own(EasyCacheConfig),
            EasyCacheConfig,
            caveat="Waits for the device at every step.",
        ),
        Arm(
            "sea",
            "SeaCache",
            "Blocks run once what is no noise in the latents, told by its spectrum, has changed "
            "enough since they last did.",
            _own(SeaCacheConfig),
            SeaCacheConfig,
            caveat="Waits for the device at every step.",
            refusal=_needs_parts,
        ),
        Arm(
            "speca",
            "SpeCa",
            "Skipped steps follow a Taylor series where the last block, really computed, bears it "
            "out; elsewhere all blocks compute.",
            _own(SpeCaConfig),
            SpeCaConfig,
            caveat="Its check sees the last block alone. Waits for the device at every step it "
            "would skip.",
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
