"""The result in a few words: large for the accelerated arm, smaller for its rivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from math import isinf

from tracache.compare.arm import REFERENCE
from tracache.compare.arms import ARMS
from tracache.compare.means import Means
from tracache.compare.report import ArmResult
from tracache.compare.words import explain_decibels, join, less_of, pace_of, steps_of, verdict_of

UNDER_WAY = '<p class="tc-lead tc-quiet">From the same noise: in full, then with steps skipped.</p>'


def headline(arms: Sequence[ArmResult], verdict: str = "") -> str:
    """Say what came of the accelerated arm, which is the first beside full compute.

    Parameters
    ----------
    arms : sequence of ArmResult
        What was found, full compute first.
    verdict : str, default ""
        A sentence of what to see in it.
    """
    return _lead(arms) + (f'<p class="tc-verdict">{escape(verdict)}</p>' if verdict else "")


def headline_so_far(arms: Sequence[ArmResult], verdict: str = "") -> str:
    """Say what is certain before the arms were timed together, or without it: all but its times."""
    return headline([replace(arm, timing=None) for arm in arms], verdict)


def beside(arms: Sequence[ArmResult], means: Means | None = None) -> str:
    """Say what came of the others, what all of them come to on average, and what the dB are."""
    return _rivals(arms) + _means(means) + _decibels(arms)


def beside_so_far(arms: Sequence[ArmResult], means: Means | None = None) -> str:
    """Say what is certain of it."""
    return beside([replace(arm, timing=None) for arm in arms], means)


def _lead(arms: Sequence[ArmResult]) -> str:
    others = [arm for arm in arms if arm.arm != REFERENCE]
    return f'<p class="tc-lead">{_line(others[0])}</p>' if others else ""


def _line(arm: ArmResult) -> str:
    """What is certain comes first, then the clock, then how near."""
    near = verdict_of(arm)
    if not isinf(arm.psnr):
        near += f" ({arm.psnr:.1f} dB)"
    parts = [steps_of(arm), less_of(arm), pace_of(arm), near]
    first, *others = (escape(part) for part in parts if part)
    first = f"<b>{escape(arm.title)}</b>: {first}"
    return " ".join(f'<span class="tc-part">{part}</span>' for part in (first, *others))


def _rivals(arms: Sequence[ArmResult]) -> str:
    lines = "".join(f"<li>{_line(arm)}</li>" for arm in arms[2:])
    return f'<ul class="tc-rivals">{lines}</ul>' if lines else ""


def _decibels(arms: Sequence[ArmResult]) -> str:
    if len(arms) == 1:
        return ""
    return (
        '<details class="tc-explain"><summary>What are these dB?</summary>'
        f"<p>{escape(explain_decibels())}</p></details>"
    )


def _means(means: Means | None) -> str:
    if means is None:
        return ""
    each = [f"{ARMS[arm].title} {psnr:.1f} dB" for arm, psnr in means.psnr.items()]
    return (
        f'<p class="tc-mean">On average over {means.count} other {means.of}, measured beforehand: '
        f"{escape(join(each))}.</p>"
    )
