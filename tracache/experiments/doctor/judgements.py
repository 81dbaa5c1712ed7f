"""From figures to findings: pure functions, one for each thing that is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tracache.experiments.doctor.findings import FAULT, HEALTHY, UNKNOWN, WARNING, Finding

#: A call that takes less than this share of what it takes without a cache is a skipped one.
COMPUTED = 0.99
#: Of a step's motion; a linear forecast misses a hundredth, reuse all of it.
STRAIGHT = 0.25
#: A run shorter than this, in seconds, is mostly overhead, and says nothing about time.
SHORT_S = 1.0


def distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Return ‖found − wanted‖ / ‖wanted‖ over all tensors; infinite where shapes differ."""
    if [x.shape for x in found] != [x.shape for x in wanted]:
        return math.inf
    off = length([x.double() - y.double() for x, y in zip(found, wanted, strict=True)])
    if off == 0:
        return 0.0
    whole = length(wanted)
    return off / whole if whole and math.isfinite(off) else math.inf


def length(tensors: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of all of them together."""
    return math.sqrt(sum(float(x.double().square().sum()) for x in tensors))


def shares(work: Sequence[int], whole: Sequence[int]) -> list[float]:
    """Return what each call took of what it takes without a cache."""
    return [mine / full if full else 1.0 for mine, full in zip(work, whole, strict=True)]


def judge_skips(
    work: Sequence[int], whole: Sequence[int], loose: Sequence[int] | None = None
) -> Finding:
    """Judge how much is skipped.

    Parameters
    ----------
    work, whole : sequence of int
        Multiply–accumulates of each call, with the cache and without.
    loose : sequence of int, optional
        The same with the loosest threshold, for a cache that has one: what it skips then shows
        whether it can.
    """
    about = "skipped steps"
    if len(work) != len(whole):
        return Finding(
            about, FAULT, f"the denoiser was called {len(work)} times, {len(whole)} without it"
        )
    each = shares(work, whole)
    skipped = sum(share < COMPUTED for share in each)
    share = sum(work) / sum(whole)
    figures = {"calls": len(each), "skipped": skipped, "share_of_macs": share, "shares": each}
    if skipped:
        lightest = min(each)
        sentence = (
            f"{skipped} of {len(each)} calls take less, the least {lightest:.1%}; "
            f"{share:.1%} of the multiply–accumulates are left"
        )
        return Finding(about, HEALTHY, sentence, figures)
    if loose is not None and any(s < COMPUTED for s in shares(loose, whole)):
        sentence = "no call takes less, at this threshold: see below"
        return Finding(about, WARNING, sentence, figures)
    sentence = (
        f"it does nothing: all {len(each)} calls take what they take without it, and nothing "
        "says so; what it hooks is not found in this denoiser"
    )
    return Finding(about, FAULT, sentence, figures)


def judge_threshold(work: Sequence[int], loose: Sequence[int], whole: Sequence[int]) -> Finding:
    """Judge whether a threshold decides anything; see :func:`judge_skips`."""
    about = "threshold"
    mine, most = ([s < COMPUTED for s in shares(w, whole)] for w in (work, loose))
    figures = {"skipped": sum(mine), "skipped_at_the_loosest": sum(most)}
    if not any(most):
        return Finding(about, UNKNOWN, "nothing is skipped at any threshold", figures)
    if not any(mine):
        sentence = (
            f"inert: it never lets a call be skipped; the loosest skips {sum(most)}: raise it"
        )
        return Finding(about, WARNING, sentence, figures)
    if mine == most:
        sentence = (
            f"inert: it never makes a call compute; the {sum(mine)} that are skipped are skipped "
            "at any threshold: lower it"
        )
        return Finding(about, WARNING, sentence, figures)
    sentence = f"it decides: {sum(mine)} calls are skipped, and {sum(most)} at the loosest"
    return Finding(about, HEALTHY, sentence, figures)


def judge_same(about: str, off: float, allowed: float, same: str, other: str) -> Finding:
    """Judge whether two runs that should be one are."""
    figures = {"difference": off, "allowed": allowed}
    if off == 0:
        return Finding(about, HEALTHY, f"{same}, bit for bit", figures)
    if off <= allowed:
        return Finding(about, HEALTHY, f"{same}, to rounding ({off:.1e})", figures)
    return Finding(about, FAULT, f"{other}: they differ by {off:.2g}", figures)


def judge_constant(errors: Sequence[float], kinds: int, allowed: float) -> Finding:
    """Judge what a cache makes of a denoiser that answers each call as it did the step before.

    Parameters
    ----------
    errors : sequence of float
        Of the outputs of each call, against those without a cache.
    kinds : int
        Different calls of one step.
    allowed : float
        What is rounding.
    """
    about = "constant features"
    worst = max(errors, default=0.0)
    figures = {"error": worst, "calls_per_step": kinds}
    if worst <= allowed:
        calls = f", the {kinds} calls of a step each its own" if kinds > 1 else ""
        sentence = f"features that stand still come out as they are{calls}"
        return Finding(about, HEALTHY, sentence, figures)
    why = (
        f"either it mixes the {kinds} calls of a step, or what it puts in place of a block is not "
        "what this denoiser reads"
        if kinds > 1
        else "what it puts in place of a block is not what this denoiser reads"
    )
    sentence = f"features that stand still come out wrong by {worst:.2g}: {why}"
    return Finding(about, FAULT, sentence, figures)


def judge_linear(misses: Sequence[float], points: int, order: int) -> Finding:
    """Judge forecasts of features that move straight.

    Parameters
    ----------
    misses : sequence of float
        Error of each forecast, in steps of that motion.
    points : int
        Computed calls that each was made from, at least.
    order : int
        Degree that the cache says it forecasts with.
    """
    about = "linear series"
    if not misses:
        return Finding(about, UNKNOWN, f"no call is skipped after {points} that computed")
    worst = max(misses)
    figures = {"order": order, "worst_in_steps": worst}
    if worst <= STRAIGHT:
        sentence = f"features that move straight are forecast to {worst:.2g} of a step's motion"
        return Finding(about, HEALTHY, sentence, figures)
    sentence = (
        f"features that move straight are forecast wrong by {worst:.2g} of a step's motion, though "
        f"it says that it forecasts with order {order}"
    )
    return Finding(about, FAULT, sentence, figures)


def judge_half(single: float, half: float, noise: float) -> Finding:
    """Judge what half precision adds.

    Parameters
    ----------
    single, half : float
        Error of the cached run against the plain one, both in float32, and both in bfloat16.
    noise : float
        Error of the plain run in bfloat16 against that in float32.
    """
    about = "half precision"
    figures = {"error_float32": single, "error_bfloat16": half, "plain_bfloat16": noise}
    said = f"its error is {half:.2g} in bfloat16 and {single:.2g} in float32"
    if half == math.inf:
        return Finding(about, FAULT, "in bfloat16 it ends with numbers that are none", figures)
    if half > 2 * (single + noise):
        return Finding(about, WARNING, f"{said}: rounding adds more than the cache does", figures)
    sentence = f"{said}; bfloat16 alone makes {noise:.2g}"
    return Finding(about, HEALTHY, sentence, figures)


def judge_memory(kind: str, plain: int, cached: int) -> Finding:
    """Say what a run takes more, in bytes by which it grows; no amount is a fault by itself."""
    more = max(cached - plain, 0)
    sentence = f"{kind} grows by {more / 2**20:.1f} MiB more than without it"
    return Finding("memory", HEALTHY, sentence, {"added_bytes": more, "kind": kind})


def judge_time(plain_s: float, cached_s: float, share: float) -> Finding:
    """Judge the share of time against the share of the multiply–accumulates."""
    about = "time"
    took = cached_s / plain_s
    figures = {"plain_s": plain_s, "cached_s": cached_s, "share": took, "share_of_macs": share}
    said = f"{took:.0%} of the time for {share:.0%} of the multiply–accumulates"
    if plain_s < SHORT_S:
        sentence = f"{said}; runs of {plain_s:.2g} s say little"
        return Finding(about, UNKNOWN, sentence, figures)
    if took > 1 > COMPUTED > share:
        return Finding(about, WARNING, f"{said}: slower than no cache", figures)
    return Finding(about, HEALTHY, said, figures)


def judge_verdict(error: float, fewer: float, steps: int, of: int) -> Finding:
    """Judge a cache against a plain run of fewer steps that computes as much."""
    about = "against fewer steps"
    figures = {"error": error, "error_of_fewer": fewer, "fewer": steps}
    said = (
        f"{error:.2g} from full compute; {steps} plain steps in place of {of}, as much work, are "
        f"{fewer:.2g} from it"
    )
    if error == math.inf:
        return Finding(about, FAULT, "it ends with numbers that are none", figures)
    if error > fewer:
        return Finding(about, WARNING, f"{said}: fewer steps are nearer", figures)
    return Finding(about, HEALTHY, said, figures)
