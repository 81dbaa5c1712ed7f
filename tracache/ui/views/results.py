"""What came of a job, as HTML and sentences; pure functions of reports."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tracache.compare.arm import REFERENCE
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.words import (
    factor_of,
    range_of,
    steps_of,
    timing_of,
)

#: Columns of the figures that a run has only once it has come to its end.
TIMES = ("Speed-up", "Denoising", "End to end")


def table(report: Report) -> str:
    """Draw the figures of every arm as an HTML table."""
    return _figures(
        report.arms,
        f"{timing_of(report)} Denoising is the loop; end to end is from the text encoder to "
        "decoded pixels. PSNR and SSIM are against full compute. "
        f"Ran on {report.device}, {report.dtype}.",
    )


def table_so_far(arms: Sequence[ArmResult]) -> str:
    """Draw what is certain of a run that was stopped: all but its times, as an HTML table."""
    return _figures(
        arms,
        "The run was stopped before its end, so its times are left out: press Generate to have "
        "them. PSNR and SSIM are against full compute.",
        timed=False,
    )


def _figures(arms: Sequence[ArmResult], note: str, timed: bool = True) -> str:
    memory = arms[0].memory_kind[:1].upper() + arms[0].memory_kind[1:]
    names = ("Computed", "Fewer MACs", *(TIMES if timed else ()), memory, "PSNR", "SSIM")
    head = "".join(
        f'<th scope="col" role="columnheader">{escape(name)}</th>' for name in ("Arm", *names)
    )
    body = "".join(_row(arm, names) for arm in arms)
    doubts = "".join(
        f'<p class="tc-quiet">{escape(arm.title)}: its speed-up is {escape(arm.doubt)}.</p>'
        for arm in arms
        if timed and arm.doubt
    )
    # Roles are said, since rows that are stacked on a phone lose those they have by themselves.
    return (
        '<div class="tc-scroll" tabindex="0" role="region" aria-label="Figures of each arm">'
        '<table class="tc-table tc-stack" role="table">'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
        f'{doubts}<p class="tc-quiet">{escape(note)}</p>'
    )


def _row(arm: ArmResult, names: Sequence[str]) -> str:
    same = arm.psnr == float("inf")
    timed = TIMES[0] in names
    times = (factor_of(arm), f"{arm.denoising_s:.2f} s", f"{arm.end_to_end_s:.2f} s")
    cells = (
        f"{arm.full_steps} of {arm.num_steps}",
        f"{arm.speed_up_macs:.2f}×",
        *(times if timed else ()),
        f"{arm.memory_bytes / 2**20:,.0f} MiB",
        "—" if same else f"{arm.psnr:.1f} dB",
        f"{arm.ssim:.3f}",
    )
    # Where rows are stacked, on a phone, each cell names its column.
    values = [
        f'<td role="cell" data-name="{escape(name)}">{escape(cell)}</td>'
        for name, cell in zip(names, cells, strict=True)
    ]
    if timed and arm.timing is not None and arm.arm != REFERENCE:
        # How many rounds there were is said once, below.
        within = range_of(arm).partition(" in ")[0]
        spread = f'<small class="tc-quiet">{escape(within)}</small></td>'
        values[2] = values[2].replace("</td>", spread)
    title = f"{arm.title}, reused" if arm.reused else arm.title
    head = f'<th scope="row" role="rowheader">{escape(title)}</th>'
    return f'<tr role="row">{head}{"".join(values)}</tr>'


def filmstrip(source: str, titles: Sequence[str]) -> str:
    """Show frames of every arm below one another."""
    rows = "".join(f"<li>{escape(title)}</li>" for title in titles)
    alt = f"Frames at equal distances, a row each: {', '.join(titles)}"
    return (
        f'<div class="tc-film"><ol>{rows}</ol>'
        f'<img src="{escape(source)}" alt="{escape(alt)}"></div>'
    )


def gallery(jobs: Sequence[tuple[str, Request, Report, dict[str, str]]]) -> str:
    """Show finished jobs as thumbnails that lead back to them; the last first.

    Parameters
    ----------
    jobs : sequence of (job id, Request, Report, {arm: address of its picture})
        As they were made.
    """
    if not jobs:
        return ""
    items = "".join(_thumbnail(*job) for job in reversed(jobs))
    return f'<ul class="tc-gallery">{items}</ul>'


def _thumbnail(job_id: str, request: Request, report: Report, files: dict[str, str]) -> str:
    arm = report.arms[min(1, len(report.arms) - 1)]
    source = escape(files[arm.arm])
    alt = escape(f"{request.prompt}, by {arm.title}")
    picture = f'<img src="{source}" alt="{alt}">'
    if arm.frame_psnr:
        picture = (
            f'<video src="{source}" aria-label="{alt}" muted playsinline loop autoplay></video>'
        )
    words = f"{arm.title}, {steps_of(arm)}"
    return (
        f'<li><a href="?run={escape(job_id)}">{picture}<span>{escape(words)}</span>'
        f'<span class="tc-quiet">{escape(request.prompt)}</span></a></li>'
    )
