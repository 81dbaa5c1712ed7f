"""Every arm that can be compared, by name.

An arm is the same pipeline with another setup: how many steps it takes, with which scheduler, and
which cache, if any, is attached meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracache.caching.config import BLOCKS
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
from tracache.caching.methods.planned import OUTPUT, PlannedConfig
from tracache.compare.arm import OWN, PUBLISHED, TRACACHE, Arm, Setup
from tracache.compare.setups import beside, faster_cache, kin, learned, own, own_settings, planned
from tracache.compare.triple import Triple

if TYPE_CHECKING:
    from tracache.models.spec import ModelSpec


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
            planned,
            PlannedConfig,
            plans=True,
            triple=Triple("noise", "measured", "planned", correct=True),
        ),
        Arm(
            PUBLISHED,
            "TraCache, as published",
            "Skipped steps follow each block's trajectory; its order is chosen per timestep.",
            lambda given: Setup(given.num_steps, given.cache),
            triple=Triple(BLOCKS, "lagrange", "even"),
        ),
        Arm(
            "fewer-steps",
            "Fewer steps",
            "Full compute with as many steps as the cache computes: the same cost, no cache.",
            lambda given: Setup(given.budget),
            matches=True,
        ),
        kin(
            "reuse",
            "Reuse (FORA)",
            "Skipped steps repeat the last computed features.",
            Triple(BLOCKS, "reuse", "even"),
        ),
        kin(
            "taylorseer",
            "TaylorSeer",
            "Skipped steps follow a Taylor series from backward differences, at the highest order.",
            Triple(BLOCKS, "taylor", "even"),
        ),
        kin(
            "tracache-fixed",
            "TraCache, fixed order",
            "As published, but always at the highest order.",
            Triple(BLOCKS, "lagrange", "even"),
            order="fixed",
        ),
        kin(
            "hicache",
            "HiCache",
            "TaylorSeer's differences in a contracted Hermite basis, over the steps' indices.",
            Triple(BLOCKS, "hermite", "even"),
        ),
        kin(
            "spectrum",
            "Spectrum",
            "Skipped steps follow Chebyshev polynomials, ridge-fitted to all computed steps, half "
            "blended with a line.",
            Triple(BLOCKS, "chebyshev", "even", 4),
            caveat="On the schedule of the arms beside it, where its own computes the first steps "
            "and then ever fewer. Keeps every computed step.",
            max_order=4,
        ),
        kin(
            "dmd",
            "DMD",
            "Skipped steps follow exponentials through the last computed ones: dynamic mode "
            "decomposition.",
            Triple(BLOCKS, "dmd", "even"),
            caveat="Of cache-dit it is the prediction alone, not what decides which steps compute. "
            "Keeps six computed steps, and needs four at equal distances; before that it is a "
            "line. Waits for the device after every computed step.",
        ),
        kin(
            "foca",
            "FoCa",
            "Skipped steps are forecast from the two newest values and calibrated by the last "
            "computed ones.",
            Triple(BLOCKS, "foca", "even"),
            caveat="As in cache-dit, where changes are not divided by the steps they took: where "
            "no two steps compute in a row it overshoots.",
        ),
        beside(
            "zeus",
            "ZEUS",
            "Skipped steps repeat the denoiser's output, with its last difference added at every "
            "other one.",
            Triple(OUTPUT, "zeus", "leading"),
            caveat="Like VDE it computes a third of its steps in a row first, the rest evenly.",
        ),
        beside(
            "vde",
            "VDE",
            "Skipped steps follow how far the velocity points along the latents and across them.",
            Triple("velocity", "vde", "leading"),
            caveat="Published for rectified flow, with a warm-up, an interval and the last step: "
            "here a third of the computed steps come in a row first, the rest evenly.",
        ),
        own(
            OWN,
            "Your own",
            "What has a trajectory, how it goes on and which steps compute are of your choice.",
        ),
        Arm(
            "delta-dit",
            "Δ-DiT",
            "Skipped steps repeat what half of the blocks changed: back ones first, then front.",
            own_settings(DeltaDiTConfig),
            DeltaDiTConfig,
            refusal=_needs_parts,
        ),
        Arm(
            "pab",
            "PAB",
            "Self-attention, cross-attention and MLP outputs are each broadcast over some steps.",
            own_settings(PABConfig),
            PABConfig,
            refusal=_needs_parts,
        ),
        Arm(
            "teacache",
            "TeaCache",
            "Blocks run once the timestep's embedding has changed enough since they last did.",
            own_settings(TeaCacheConfig),
            TeaCacheConfig,
            caveat="No rescaling coefficients are published for this architecture: changes count "
            "as they are. Waits for the device at every step.",
            refusal=_needs_parts,
        ),
        Arm(
            "first-block",
            "FirstBlockCache",
            "The first block always runs; the others do once what it changes has changed enough.",
            own_settings(FirstBlockConfig),
            FirstBlockConfig,
            caveat="Waits for the device at every step.",
            refusal=_needs_parts,
        ),
        Arm(
            "mag",
            "MagCache",
            "Blocks run once the calibrated ratios of what they change from step to step have "
            "gone far enough from 1.",
            own_settings(MagCacheConfig),
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
            learned,
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
            own_settings(EasyCacheConfig),
            EasyCacheConfig,
            caveat="Waits for the device at every step.",
        ),
        Arm(
            "sea",
            "SeaCache",
            "Blocks run once what is no noise in the latents, told by its spectrum, has changed "
            "enough since they last did.",
            own_settings(SeaCacheConfig),
            SeaCacheConfig,
            caveat="Waits for the device at every step.",
            refusal=_needs_parts,
        ),
        Arm(
            "speca",
            "SpeCa",
            "Skipped steps follow a Taylor series where the last block, really computed, bears it "
            "out; elsewhere all blocks compute.",
            own_settings(SpeCaConfig),
            SpeCaConfig,
            caveat="Its check sees the last block alone. Waits for the device at every step it "
            "would skip.",
            refusal=_needs_parts,
        ),
        Arm(
            "adacache",
            "AdaCache",
            "How much attention changed decides how many steps repeat the outputs.",
            own_settings(AdaCacheConfig),
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
            faster_cache,
            FasterCacheConfig,
            refusal=_needs_parts,
        ),
        Arm(
            "toca",
            "ToCa",
            "Skipped steps compute the MLP of the tokens that matter most.",
            own_settings(ToCaConfig),
            ToCaConfig,
            caveat="Needs attention scores, which fast attention kernels do not give, so its "
            "computed steps are slower than everyone else's.",
            refusal=_needs_scores,
        ),
        Arm(
            "gates",
            "Gates from a file",
            "A table says which block computes at which step (for L2C, LazyDiT and the like).",
            own_settings(GatesConfig),
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
