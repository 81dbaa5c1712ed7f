"""What a comparison found, in words; what is certain comes first."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isinf

from tracache.compare.arm import REFERENCE
from tracache.compare.report import ArmResult, Report

#: From how many decibels of PSNR on a picture is how near to full compute's, in words.
VERDICTS = (
    (45.0, "no difference to see"),
    (38.0, "hard to tell apart"),
    (30.0, "small differences"),
    (-inf, "another picture"),
)


def join(parts: Sequence[str]) -> str:
    """Return several things as one: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def steps_of(arm: ArmResult) -> str:
    """Say how many steps computed."""
    if arm.skipped_steps:
        return f"{arm.full_steps} of {arm.num_steps} steps computed"
    return f"{arm.num_steps} steps, all computed"


def work_of(arm: ArmResult) -> str:
    """Say how much less it multiplies than full compute."""
    fewer = f"{arm.speed_up_macs:.1f}"
    return "as many MACs" if fewer == "1.0" else f"{fewer}× fewer MACs"


def nearness_of(arm: ArmResult) -> str:
    """Say how near its picture is to full compute's."""
    return "the same" if isinf(arm.psnr) else f"{arm.psnr:.1f} dB"


def verdict_of(arm: ArmResult) -> str:
    """Say in words how near its picture is to full compute's, by :data:`VERDICTS`."""
    if isinf(arm.psnr):
        return "the same picture"
    return next(words for least, words in VERDICTS if arm.psnr >= least)


def less_of(arm: ArmResult) -> str:
    """Say how much less work it did, for those to whom MACs are nothing."""
    less = f"{arm.speed_up_macs:.1f}"
    return "as much work" if less == "1.0" else f"{less}× less work"


def pace_of(arm: ArmResult) -> str:
    """Say how fast it was in a few words; empty where it was not timed with full compute."""
    if arm.timing is None:
        return ""
    up = arm.timing.speed_up
    pace = f"{up:.1f}× faster" if up >= 1 else f"{1 / up:.1f}× slower"
    if arm.doubt:
        return f"timed as {pace}, which is noise"
    return f"{'about ' if arm.rough else ''}{pace}"


def explain_decibels() -> str:
    """Say what the decibels are, and from how many on which words are used."""
    said = "; ".join(f"from {least:g} dB on, {words}" for least, words in VERDICTS[:-1])
    return (
        "PSNR, in decibels, says how far apart the pixels of two pictures are: here of an arm's "
        f"and of full compute's. 6 dB more is half the difference. We say: {said}; below, "
        f"{VERDICTS[-1][1]}. One number is not what an eye sees: look at the difference as well."
    )


def factor_of(arm: ArmResult) -> str:
    """Return the speed-up as a table has it, or a dash."""
    if arm.timing is None:
        return "—"
    if arm.doubt:
        return f"{arm.timing.speed_up:.2f}× (noise)"
    # Full compute is exactly as fast as itself.
    about = "about " if arm.rough and arm.arm != REFERENCE else ""
    return f"{about}{arm.timing.speed_up:.2f}×"


def range_of(arm: ArmResult) -> str:
    """Return within what the speed-ups of half of the rounds lie, and how many there were."""
    timing = arm.timing
    if timing is None:
        return "not timed"
    if timing.rounds == 1:
        return "timed once"
    return f"{timing.low:.2f}–{timing.high:.2f}× in {timing.rounds} rounds"


def timing_of(report: Report) -> str:
    """Say how the times of a report came about."""
    full, *others = report.arms
    if full.timing is None:
        why = "The arms were not timed together, so there is no speed-up."
        if full.reused:
            why = (
                "Full compute's picture was reused from an earlier, identical run, and its times "
                "with it; a speed-up would need both in one run, so there is none."
            )
        return why
    if full.timing.rounds == 1:
        once = "Timed once, after a warm-up, in the runs that made the pictures"
        return f"{once}: read speed-ups as rough." if others else f"{once}."
    reused = " Its picture alone is from an earlier, identical run." if full.reused else ""
    return (
        f"Timed together once the pictures were made: medians of {full.timing.rounds} rounds in "
        "which every arm ran once, full compute too. The range holds the middle half of the "
        f"rounds; “about” is said where it is wide.{reused}"
    )
