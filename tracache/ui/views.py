"""What the page shows of a job, as HTML and sentences; pure functions of reports and progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from tracache.compare.arm import REFERENCE
from tracache.compare.arms import ARMS
from tracache.compare.plan import ArmPlan
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.words import (
    factor_of,
    nearness_of,
    range_of,
    speed_of,
    steps_of,
    timing_of,
    work_of,
)
from tracache.models.spec import ModelSpec
from tracache.models.vocabulary import Vocabulary
from tracache.ui.progress import ArmProgress, Progress

#: Unknown words that the note names; a pasted page would fill the screen.
MAX_WORDS_NAMED = 5

#: Columns of the figures that a run has only once it has come to its end.
TIMES = ("Speed-up", "Denoising", "End to end")

EMPTY_STATUS = (
    '<div class="tc-status"><p class="tc-quiet">Press Generate: full compute and every other '
    "arm start from the same noise, and each step shows here as it finishes.</p></div>"
)

EMPTY_HEATMAP = (
    "Rows are blocks, columns are timesteps. Drawn after a run, from a second one that is not "
    "timed."
)


def recording_status(subject: str) -> str:
    """Say where progress would be that what is shown was recorded."""
    return (
        '<div class="tc-status" role="status"><p class="tc-quiet">Below is a recording of '
        f"“{escape(subject)}”. Press Generate to run it here, with your settings.</p></div>"
    )


def show_progress(progress: Progress) -> str:
    """Draw a strip per arm: a cell per step, dark where it computed, light where it was skipped."""
    strips = "".join(_strip(arm) for arm in progress.arms)
    legend = (
        '<p class="tc-legend"><i class="tc-cell tc-full"></i> computed '
        '<i class="tc-cell tc-skip"></i> skipped, or in part <i class="tc-cell"></i> to come</p>'
        if strips
        else ""
    )
    message = f'<p class="tc-message">{escape(progress.message)}</p>'
    return f'<div class="tc-status" role="status">{message}{strips}{legend}</div>'


def show_refusal(why: str) -> str:
    """Say where progress would be why nothing was begun; ``why`` is HTML, as for a toast."""
    return f'<div class="tc-status"><p class="tc-message">Nothing was begun: {why}</p></div>'


def _strip(arm: ArmProgress) -> str:
    kinds = [_kind(computed) for computed in arm.computed]
    kinds += [""] * (arm.num_steps - len(kinds))
    cells = "".join(f'<i class="tc-cell{kind}"></i>' for kind in kinds)
    count = f"{arm.done} of {arm.num_steps} steps"
    if arm.reused:
        count = "picture reused"
    elif arm.done < arm.num_steps:
        count += f", {arm.elapsed_s:.1f} s"
    return (
        f'<div class="tc-arm"><span class="tc-name">{escape(arm.title)}</span>'
        f'<span class="tc-count">{count}</span>'
        f'<span class="tc-strip" aria-hidden="true">{cells}</span></div>'
    )


def _kind(computed: bool) -> str:
    return " tc-full" if computed else " tc-skip"


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


def stop_note(why: str) -> str:
    """Say why Stop stopped nothing."""
    return f'<p class="tc-words tc-quiet" role="status">{escape(why)}</p>'


def cost_note(lines: Sequence[str]) -> str:
    """Say what each arm will cost; a line each."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="tc-words tc-quiet" role="status">{items}</ul>'


def headline(report: Report) -> str:
    """Say the result in a sentence, as Markdown."""
    return _sentences(report.arms)


def headline_so_far(arms: Sequence[ArmResult]) -> str:
    """Say of a run that was stopped what is certain of the arms that are done, as Markdown."""
    return _sentences([replace(arm, timing=None) for arm in arms])


def _sentences(arms: Sequence[ArmResult]) -> str:
    return "\n\n".join(_sentence(arm) for arm in arms if arm.arm != REFERENCE)


def _sentence(arm: ArmResult) -> str:
    parts = [f"{steps_of(arm)}, {work_of(arm)}"]
    if speed := speed_of(arm):
        parts.append(speed)
    same = arm.psnr == float("inf")
    parts.append("the same image" if same else f"PSNR {arm.psnr:.1f} dB to full compute's image")
    return f"**{arm.title}**: {'; '.join(parts)}."


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


@dataclass(frozen=True)
class SweepCell:
    """A cell of a sweep's grid; without a result it is still to come.

    Attributes
    ----------
    stride : int
        Its row.
    order : int or None
        Its column, of the published method's; None is another arm's.
    arm : str
        What it shows.
    computed : int
        Steps that compute in its row.
    job_id, source : str
        Where its comparison and its picture are.
    result : ArmResult or None
        What came of it.
    """

    stride: int
    order: int | None
    arm: str
    computed: int
    job_id: str = ""
    source: str = ""
    result: ArmResult | None = None


def sweep_grid(cells: Sequence[SweepCell]) -> str:
    """Draw a sweep: a row for each stride, a column for each order, then the other arms."""
    rows_of: dict[int, list[SweepCell]] = {}
    for cell in cells:
        rows_of.setdefault(cell.stride, []).append(cell)
    first = next(iter(rows_of.values()))
    head = "".join(f'<th scope="col">{escape(_column(cell))}</th>' for cell in first)
    rows = "".join(
        f'<tr><th scope="row">stride {stride}<br><span class="tc-quiet">{row[0].computed} computed'
        f"</span></th>{''.join(map(_sweep_cell, row))}</tr>"
        for stride, row in rows_of.items()
    )
    return (
        '<div class="tc-scroll" tabindex="0" role="region" aria-label="The sweep">'
        f'<table class="tc-sweep"><thead><tr><td></td>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _column(cell: SweepCell) -> str:
    return ARMS[cell.arm].title if cell.order is None else f"order ≤ {cell.order}"


def _sweep_cell(cell: SweepCell) -> str:
    if cell.result is None:
        return '<td><span class="tc-empty-cell"></span></td>'
    result = cell.result
    words = f"{work_of(result)}, {nearness_of(result)}"
    alt = f"{result.title}: {words}"
    picture = f'<img src="{escape(cell.source)}" alt="{escape(alt)}">'
    if result.frame_psnr:
        picture = (
            f'<video src="{escape(cell.source)}" aria-label="{escape(alt)}" muted playsinline loop '
            "autoplay></video>"
        )
    return f'<td><a href="./?run={escape(cell.job_id)}">{picture}<span>{words}</span></a></td>'


def arm_note(arm: str, spec: ModelSpec, not_here: Sequence[str] = ()) -> str:
    """Say what an arm does, what to know about it, and why it cannot run where it cannot.

    Parameters
    ----------
    arm : str
        Name of the arm.
    spec : ModelSpec
        The model.
    not_here : sequence of str
        Arms that the page does not run; their caveat says why.
    """
    method = ARMS[arm]
    refusal = method.refusal(spec) or (method.caveat if arm in not_here else "")
    if refusal:
        return (
            f'<div class="tc-words tc-warn"><p>{escape(method.summary)}</p>'
            f'<p role="alert">Not available here. {escape(refusal)}</p></div>'
        )
    caveat = f"<p>{escape(method.caveat)}</p>" if method.caveat else ""
    return f'<div class="tc-words tc-quiet"><p>{escape(method.summary)}</p>{caveat}</div>'


def model_note(spec: ModelSpec, reason: str) -> str:
    """Say what a model is, what to know of its defaults, and why it cannot run where it cannot."""
    about = " ".join(text for text in (spec.summary, spec.note, _licence(spec)) if text)
    if reason:
        return (
            f'<div class="tc-words tc-warn"><p>{escape(spec.summary)}</p>'
            f'<p role="alert">Not available here. {escape(reason)}</p></div>'
        )
    return f'<div class="tc-words tc-quiet"><p>{escape(about)}</p></div>'


def _licence(spec: ModelSpec) -> str:
    return f"Licence: {spec.licence}." if spec.licence else ""


def absent_note(reasons: Sequence[tuple[ModelSpec, str]]) -> str:
    """Say of each model that cannot run here what it is, and why it cannot."""

    def row(spec: ModelSpec, reason: str) -> str:
        about = " ".join(text for text in (spec.summary, _licence(spec), reason) if text)
        return f"<dt>{escape(spec.title)}</dt><dd>{escape(about)}</dd>"

    rows = "".join(row(spec, reason) for spec, reason in reasons)
    return f'<dl class="tc-words tc-absent">{rows}</dl>'


def preset_note(preset: str, spec: ModelSpec) -> str:
    """Say what a preset does; empty where the visitor sets everything."""
    if preset not in spec.presets:
        return ""
    return f'<div class="tc-words tc-quiet"><p>{escape(spec.presets[preset].about)}</p></div>'


def vocabulary_note(prompt: str, vocabulary: Vocabulary | None) -> str:
    """Say which words of a prompt the model knows, and what to try for the others, as HTML."""
    if vocabulary is None:
        return ""
    known, unknown = vocabulary.split(prompt)
    if not known and not unknown:
        return '<p class="tc-words tc-quiet">Describe a scene, or build one below.</p>'
    by_tip: dict[tuple[str, ...], list[str]] = {}
    for word in unknown[:MAX_WORDS_NAMED]:
        by_tip.setdefault(vocabulary.suggest(word), []).append(f"“{escape(word[:30])}”")
    lines = [
        f"{' and '.join(words)} {'is not a word' if len(words) == 1 else 'are not words'} "
        f"of this model; try {escape(', '.join(tips))}."
        for tips, words in by_tip.items()
    ]
    if len(unknown) > MAX_WORDS_NAMED:
        lines.append(f"{len(unknown) - MAX_WORDS_NAMED} more words are not known either.")
    shown = ", ".join(known[:16]) + (" …" if len(known) > 16 else "")
    lines.append(f"Known: {escape(shown)}." if known else "It knows none of these words.")
    kind = " tc-warn" if unknown else ""
    return f'<div class="tc-words{kind}">' + "".join(f"<p>{line}</p>" for line in lines) + "</div>"
