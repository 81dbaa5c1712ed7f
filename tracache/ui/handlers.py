"""What happens when somebody presses something."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from typing import Any

import gradio as gr

from tracache.caching.checks import require_integer
from tracache.compare.estimate import estimate
from tracache.compare.events import Event
from tracache.compare.figures import (
    calm_path,
    describe_path,
    describe_trace,
    frame_psnr,
    order_heatmap,
)
from tracache.compare.report import Report
from tracache.compare.request import Request
from tracache.models.loading import ModelUnavailableError
from tracache.serving.backend import Backend
from tracache.serving.work import BlockPath
from tracache.settings import Settings
from tracache.ui.form import read_request
from tracache.ui.jobs import Job, Jobs, Snapshot
from tracache.ui.numbers import whole
from tracache.ui.offer import require_offered
from tracache.ui.prometheus import Metrics
from tracache.ui.views import cost_note, filmstrip, gallery, headline, show_progress, table
from tracache.ui.widgets.inspector import block_choices, show_candidates
from tracache.ui.widgets.share import share_run
from tracache.ui.widgets.viewer import file_url, show_run

log = logging.getLogger(__name__)

#: What a run shows, in the order in which :meth:`Handlers.generate` yields it.
OUTPUTS = (
    "status",
    "viewer",
    "headline",
    "table",
    "frames",
    "filmstrip",
    "heatmap",
    "heatmap_text",
    "inspector",
    "path_block",
    "path",
    "current",
    "share",
    "seed",
    "mine",
    "gallery",
)

#: Runs of this session that are still shown as thumbnails.
SHOWN_RUNS = 12


class Handlers:
    """Handlers of one page; its runs go on when those who began them have gone."""

    def __init__(
        self, settings: Settings, backend: Backend, metrics: Metrics | None = None
    ) -> None:
        self._settings = settings
        self.backend = backend
        self.runs = Jobs(settings.runs, settings.deadline_s, settings.log_prompts, metrics)
        if metrics is not None:
            metrics.watch(self.runs.under_way)

    def generate(
        self, values: dict[str, Any], mine: list[str], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Begin a run and show it; ``mine`` are this session's earlier ones."""
        session = request.session_hash or ""
        yield from self.show(self.start(values, session), mine)

    def start(self, values: dict[str, Any], session: str) -> Job:
        """Check what the controls hold and begin a run.

        Raises
        ------
        gr.Error
            If something is not allowed, or the model cannot run here; before any work.
        """
        try:
            require_offered(values["model"], self._settings)
            self.backend.require_available(values["model"])
            asked = read_request(values, self._settings)
        except (ValueError, ModelUnavailableError) as error:
            raise tell(error) from error
        return self.runs.start(asked, session, self.make)

    def estimate(self, values: dict[str, Any]) -> Any:
        """Say what a run would cost, before anything of it runs.

        Raises
        ------
        gr.Error
            If something is not allowed, such as more than the model may take.
        """
        try:
            require_offered(values["model"], self._settings)
            asked = read_request(values, self._settings)
            lines = estimate(asked, self._settings).describe()
        except (ValueError, OSError) as error:
            raise tell(error) from error
        return gr.update(value=cost_note(lines), visible=True)

    def make(self, asked: Request) -> Generator[Event, None, None]:
        """Yield the events of a comparison."""
        return self.backend.run("compare", asked)

    def show(self, run: Job, mine: list[str]) -> Iterator[tuple[Any, ...]]:
        """Show a run until it is over, whoever began it.

        Raises
        ------
        gr.Error
            If it fails; the message is for people.
        """
        results = -1
        for now in run.follow():
            changes: dict[str, Any] = {
                "status": show_progress(now.progress),
                "viewer": show_run(run.asked, now, run.previews()),
                "seed": run.asked.seed,
            }
            if results == -1:
                changes |= {"share": share_run(run, now), "current": run.id}
            if len(now.results) != results:
                results = len(now.results)
                if results == 1:
                    # An earlier run's figures go when this one has its first.
                    changes |= _EMPTY
            if now.state == "done":
                mine = [*[i for i in mine if i != run.id], run.id][-SHOWN_RUNS:]
                # The last update holds everything: followers may have come late.
                changes |= _finished(run, now)
                changes |= {"mine": mine, "gallery": self.gallery(mine)}
            yield tuple(changes.get(name, gr.skip()) for name in OUTPUTS)
            if now.state == "failed":
                raise gr.Error(_first_upper(now.error), print_exception=False)

    def draw_path(self, run_id: str, block: Any) -> tuple[Any, str]:
        """Run full compute once more, untimed, and draw a block's path beside what it is foretold.

        Raises
        ------
        gr.Error
            If there is no such run or block, or its features would not fit.
        """
        run = self.runs.find(run_id or "")
        if run is None:
            raise gr.Error("Make a comparison first; this draws a block of it.")
        asked = run.asked
        if asked.spec.makes_video and not asked.spec.embedded:
            raise gr.Error(
                "The features of a whole video do not fit the page; use the command line: "
                f"tracache analyse trajectories --model {asked.model}"
            )
        try:
            number = require_integer("block", whole(block), 0, 10_000)
            heard = list(self.backend.run("path", asked, number))
        except (ValueError, ModelUnavailableError) as error:
            raise tell(error) from error
        (path,) = [event for event in heard if isinstance(event, BlockPath)]
        return gr.update(value=calm_path(path.figure), visible=True), describe_path(path.away)

    def gallery(self, mine: list[str]) -> str:
        """Draw this session's finished runs, as far as they are still kept."""
        found = [(i, self.runs.find(i)) for i in mine]
        kept = [(i, run, run.snapshot()) for i, run in found if run is not None]
        return gallery(
            [
                (run_id, run.asked, now.report, {a: file_url(f) for a, f in now.files.items()})
                for run_id, run, now in kept
                if now.report is not None
            ]
        )

    def stop(self, request: gr.Request) -> None:
        """Ask this session's run to end after the step it is at."""
        if not self.runs.stop(request.session_hash or ""):
            gr.Info("Nothing is running.")

    def leave(self, request: gr.Request) -> None:
        """Forget a session whose tab was closed; what it began goes on, and can be found again."""
        self.runs.leave(request.session_hash or "")


_EMPTY: dict[str, Any] = {
    "headline": "",
    "table": "",
    "frames": gr.update(value=None, visible=False),
    "filmstrip": "",
    "heatmap": None,
    "heatmap_text": "",
    "inspector": None,
    "path": gr.update(value=None, visible=False),
}


def _finished(run: Job, now: Snapshot) -> dict[str, Any]:
    assert now.report is not None
    report: Report = now.report
    changes: dict[str, Any] = {
        "headline": headline(report),
        "table": table(report),
        "heatmap": None,
        "heatmap_text": "Nothing was skipped by a cache, so there are no orders.",
        "share": share_run(run, now),
    }
    if report.arms[0].frame_psnr:
        strip = run.folder / "strip.png"
        titles = [arm.title for arm in report.arms]
        changes |= {
            "frames": gr.update(value=frame_psnr(report.arms), visible=True),
            "filmstrip": filmstrip(file_url(strip), titles),
        }
    if report.trace is not None:
        blocks = block_choices(report.trace)
        changes |= {
            "heatmap": order_heatmap(report.trace),
            "heatmap_text": describe_trace(report.trace),
            "inspector": show_candidates(report.trace),
            "path_block": gr.update(choices=blocks, value=blocks[0][1]),
        }
    return changes


def tell(error: Exception) -> gr.Error:
    """Turn a refusal into a message, with its first word, a field's name, as the page has it."""
    first, _, rest = str(error).partition(" ")
    return gr.Error(_first_upper(f"{first.replace('_', ' ')} {rest}"), print_exception=False)


def _first_upper(words: str) -> str:
    return words[:1].upper() + words[1:]
