"""What the page shows of what came of a job, by the names of its components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from tracache.compare.cards import card_of
from tracache.compare.figures import frame_psnr
from tracache.compare.heatmap import describe_trace
from tracache.compare.means import means_for
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.saving import course_file
from tracache.models.vocabulary import vocabulary_of
from tracache.settings import Settings
from tracache.ui.job import Job, Snapshot
from tracache.ui.views.headline import beside, beside_so_far, headline, headline_so_far
from tracache.ui.views.notes import said, vocabulary_note
from tracache.ui.views.results import filmstrip, table
from tracache.ui.widgets.heatmap import show_orders
from tracache.ui.widgets.inspector import block_choices, show_candidates
from tracache.ui.widgets.scrubber import show_courses
from tracache.ui.widgets.viewer import file_url

#: What changes on the page, by the name of the component.
Changes = dict[str, Any]


def certain(job: Job, now: Snapshot, settings: Settings) -> Changes:
    """Return what is known of a job's pictures without its times."""
    arms, all_done = now.results, len(now.results) == len(job.request.arms)
    means = means_for(job.request, settings.assets)
    verdict = _verdict(job.request, arms) if all_done else ""
    return {
        "headline": headline_so_far(arms, verdict) + _reading(job.request, settings),
        "beside": beside_so_far(arms, means),
    }


def finished(job: Job, now: Snapshot, settings: Settings) -> Changes:
    """Return everything that a job shows once it is done."""
    assert now.report is not None
    report: Report = now.report
    sheets = {c.arm: file_url(job.folder / course_file(c.arm)) for c in report.courses}
    changes: Changes = {
        "headline": headline(report.arms, _verdict(report.request, report.arms))
        + _reading(report.request, settings),
        "beside": beside(report.arms, means_for(report.request, settings.assets)),
        "table": table(report),
        "scrubber": show_courses(report, sheets),
        "heatmap": None,
        "heatmap_text": said("Nothing was skipped by a cache, so there are no orders."),
    }
    if report.arms[0].frame_psnr:
        strip = job.folder / "strip.png"
        titles = [arm.title for arm in report.arms]
        changes |= {
            "frames": gr.update(value=frame_psnr(report.arms), visible=True),
            "filmstrip": filmstrip(file_url(strip), titles),
        }
    if report.trace is not None:
        blocks = block_choices(report.trace)
        changes |= {
            "heatmap": show_orders(report.trace),
            "heatmap_text": said(describe_trace(report.trace)),
            "inspector": show_candidates(report.trace),
            "path_block": gr.update(choices=blocks, value=blocks[0][1] if blocks else None),
        }
    return changes


def _verdict(request: Request, arms: Sequence[ArmResult]) -> str:
    """Say what a card's comparison has shown; nothing where the request is no card's."""
    card = card_of(request)
    return card.verdict(arms) if card is not None else ""


def _reading(request: Request, settings: Settings) -> str:
    """Say how the model has read the prompt, where that is not what was written."""
    if request.class_label is not None:
        return ""
    return vocabulary_note(request.prompt, vocabulary_of(request.spec, settings), request.asked)
