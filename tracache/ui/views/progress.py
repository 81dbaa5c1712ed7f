"""How far a job has come, and what it will do, as HTML; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tracache.compare.plan import ArmPlan
from tracache.ui.progress import ArmProgress, Progress

EMPTY_STATUS = (
    '<div class="tc-status"><p class="tc-quiet">Press Generate: full compute and every other '
    "arm start from the same noise, and each step shows here as it finishes.</p></div>"
)


def recording_status(subject: str) -> str:
    """Say where progress would be that what is shown was recorded."""
    return (
        '<div class="tc-status" role="status"><p class="tc-quiet">Below is a recording of '
        f"“{escape(subject)}”. Press Generate to run it here, with your settings.</p></div>"
    )


def show_progress(progress: Progress, stoppable: bool = False) -> str:
    """Draw a strip per arm: a cell per step, dark where it computed, light where it was skipped.

    Parameters
    ----------
    progress : Progress
        How far a job has come.
    stoppable : bool, default False
        Whether it is under way and whoever sees this may stop it; the page then shows Stop in
        Generate's place.
    """
    strips = "".join(_strip(arm) for arm in progress.arms)
    legend = (
        '<p class="tc-legend"><i class="tc-cell tc-full"></i> computed '
        '<i class="tc-cell tc-skip"></i> skipped, or in part <i class="tc-cell"></i> to come</p>'
        if strips
        else ""
    )
    message = f'<p class="tc-message">{escape(progress.message)}</p>'
    running = " data-running" if stoppable else ""
    return f'<div class="tc-status" role="status"{running}>{message}{strips}{legend}</div>'


def show_refusal(why: str, field: str = "") -> str:
    """Say where progress would be why nothing was begun.

    Parameters
    ----------
    why : str
        As HTML, as for a toast.
    field : str, default ""
        Name of the control that is to blame, which the page then marks.
    """
    at_fault = f' data-fault="{escape(field)}"' if field else ""
    return (
        f'<div class="tc-status"{at_fault}><p class="tc-message">Nothing was begun: '
        f'<span class="tc-why">{why}</span></p></div>'
    )


def _strip(arm: ArmProgress) -> str:
    kinds = [_kind(computed) for computed in arm.computed]
    kinds += [""] * (arm.num_steps - len(kinds))
    cells = "".join(f'<i class="tc-cell{kind}"></i>' for kind in kinds)
    count = f"{arm.done} of {arm.num_steps} steps"
    if arm.reused:
        count = "picture reused"
    elif arm.done < arm.num_steps:
        count += f", {arm.elapsed_s:.1f} s"
    else:
        count = f"{sum(arm.computed)} of {arm.num_steps} steps computed"
    return (
        f'<div class="tc-arm"><span class="tc-name">{escape(arm.title)}</span>'
        f'<span class="tc-count">{count}</span>'
        f'<span class="tc-strip" aria-hidden="true">{cells}</span></div>'
    )


def plan_note(plan: ArmPlan) -> str:
    """Show which steps an arm will compute, before anything runs: a cell per step."""
    if plan.num_steps is None or plan.steps is None:
        return '<p class="tc-plan tc-quiet">Which steps compute is decided while it runs.</p>'
    kinds = (_kind(step in plan.steps) for step in range(plan.num_steps))
    cells = "".join(f'<i class="tc-cell{kind}"></i>' for kind in kinds)
    anew = ", placed anew as it runs" if plan.changes else ""
    words = f"{len(plan.steps)} of {plan.num_steps} steps compute{anew}"
    return (
        f'<div class="tc-plan" role="img" aria-label="{escape(plan.describe())}">'
        f'<span class="tc-strip">{cells}</span><span class="tc-quiet">{words}</span></div>'
    )


def _kind(computed: bool) -> str:
    return " tc-full" if computed else " tc-skip"


def stop_note(why: str) -> str:
    """Say why Stop stopped nothing."""
    return f'<p class="tc-words tc-quiet" role="status">{escape(why)}</p>'


def cost_note(lines: Sequence[str]) -> str:
    """Say what each arm will cost; a line each."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="tc-words tc-quiet" role="status">{items}</ul>'
