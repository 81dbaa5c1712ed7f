"""What happens when somebody presses something."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from typing import Any

import gradio as gr

from tracache.caching.checks import require_integer
from tracache.compare.estimate import estimate
from tracache.compare.events import Event
from tracache.compare.figures import calm_path, describe_path
from tracache.compare.plan import plan_arm
from tracache.compare.request import Request
from tracache.models.loading import ModelUnavailableError
from tracache.serving.backend import Backend
from tracache.serving.work import BlockPath
from tracache.settings import Settings
from tracache.ui.afresh import EMPTY
from tracache.ui.fault import field_at_fault
from tracache.ui.form import read_request
from tracache.ui.job import OVER, Job
from tracache.ui.jobs import Jobs
from tracache.ui.numbers import whole
from tracache.ui.offer import require_offered
from tracache.ui.outcome import Changes, certain, finished
from tracache.ui.prometheus import Metrics
from tracache.ui.toast import fail, tell
from tracache.ui.views.headline import (
    UNDER_WAY,
)
from tracache.ui.views.notes import said
from tracache.ui.views.progress import cost_note, plan_note, show_progress, show_refusal, stop_note
from tracache.ui.views.results import (
    gallery,
    table_so_far,
)
from tracache.ui.widgets.cards import chosen_card
from tracache.ui.widgets.share import share_job
from tracache.ui.widgets.viewer import file_url, show_job

log = logging.getLogger(__name__)

#: Jobs of this session that are still shown as thumbnails.
SHOWN_JOBS = 12

NOTHING_RUNS = "Nothing is running."
NOT_YOURS = "Only whoever began this run can stop it."


class Handlers:
    """Handlers of one page; its jobs go on when those who began them have gone."""

    def __init__(
        self,
        settings: Settings,
        backend: Backend,
        metrics: Metrics | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        self._settings = settings
        self.backend = backend
        self.jobs = jobs or Jobs(settings.runs, settings.deadline_s, settings.log_prompts, metrics)
        if metrics is not None:
            metrics.watch(self.jobs.under_way)

    def generate(
        self, values: dict[str, Any], mine: list[str], http: gr.Request
    ) -> Iterator[Changes]:
        """Begin a job and show it; ``mine`` are this session's earlier ones."""
        try:
            job = self.start(values, http.session_hash or "")
        except gr.Error as error:
            # The toast goes; what stands here would still say that the last run is done.
            field = field_at_fault(str(error.__cause__), values)
            yield {"status": show_refusal(error.message, field)}
            raise
        yield from self.show(job, mine, own=True)

    def try_card(
        self, chosen: Any, mine: list[str], http: gr.Request
    ) -> Iterator[tuple[Request | None, Changes]]:
        """Begin the job of a card and show it; what is asked for comes with the first change.

        Raises
        ------
        gr.Error
            If there is no such card, or its model cannot run here.
        """
        try:
            card = chosen_card(chosen)
            require_offered(card.given["model"], self._settings)
            self.backend.require_available(card.given["model"])
        except (ValueError, ModelUnavailableError) as error:
            raise tell(error) from error
        request: Request | None = card.request()
        job = self.jobs.start(card.request(), http.session_hash or "", self.make)
        for changes in self.show(job, mine, own=True):
            yield request, changes
            request = None

    def start(self, values: dict[str, Any], session: str) -> Job:
        """Check what the controls hold and begin a job.

        Raises
        ------
        gr.Error
            If something is not allowed, or the model cannot run here; before any work.
        """
        try:
            require_offered(values["model"], self._settings)
            self.backend.require_available(values["model"])
            request = read_request(values, self._settings)
        except (ValueError, ModelUnavailableError) as error:
            raise tell(error) from error
        return self.jobs.start(request, session, self.make)

    def estimate(self, values: dict[str, Any]) -> Any:
        """Say what a request would cost, before anything of it runs.

        Raises
        ------
        gr.Error
            If something is not allowed, such as more than the model may take.
        """
        try:
            require_offered(values["model"], self._settings)
            request = read_request(values, self._settings)
            lines = estimate(request, self._settings).describe()
        except (ValueError, OSError) as error:
            raise tell(error) from error
        return gr.update(value=cost_note(lines), visible=True)

    def plan(self, values: dict[str, Any]) -> str:
        """Show which steps the accelerated arm will compute, whatever the picture will show.

        Nothing is said where that cannot be known: whoever then presses Generate hears why.
        """
        subject = {"prompt": "any", "class_label": 0, "seed": 0, "randomise": False}
        try:
            require_offered(values["model"], self._settings)
            request = read_request({**values, **subject}, self._settings)
            return plan_note(plan_arm(request, values["arm"], self._settings))
        except (ValueError, OSError):
            return ""

    def make(self, request: Request) -> Generator[Event, None, None]:
        """Yield the events of a comparison."""
        return self.backend.run("compare", request)

    def show(self, job: Job, mine: list[str], own: bool) -> Iterator[Changes]:
        """Show a job until it is over, whoever began it.

        Parameters
        ----------
        job : Job
            What is shown.
        mine : list of str
            Ids of the jobs that this session has seen to their end.
        own : bool
            Whether whoever looks on began it, and may stop it.

        Raises
        ------
        gr.Error
            If it fails; the message is for people.
        """
        results = -1
        token = job.token if own else ""
        for now in job.follow():
            changes: Changes = {
                "status": show_progress(now.progress, own and now.state not in OVER),
                "viewer": show_job(job.request, now, job.previews()),
                "seed": job.request.seed,
            }
            if results == -1:
                # What was found before is about other pictures.
                changes |= EMPTY
                changes |= {"headline": UNDER_WAY, "current": job.id}
                changes["share"] = share_job(job, now, token)
            if len(now.results) != results:
                results = len(now.results)
                if results == len(job.request.arms):
                    # Whoever waits for pictures need not wait for the clock.
                    changes |= certain(job, now, self._settings)
            if now.state == "done":
                mine = [*[i for i in mine if i != job.id], job.id][-SHOWN_JOBS:]
                # The last update holds everything: followers may have come late.
                changes |= finished(job, now, self._settings)
                changes["share"] = share_job(job, now, token)
                changes |= {"mine": mine, "gallery": self.gallery(mine)}
            if now.state in ("stopped", "failed"):
                changes["headline"] = ""
            if now.state == "stopped" and len(now.results) > 1:
                # What the clock had begun to say is not known; what was computed is.
                changes |= certain(job, now, self._settings)
                changes |= {
                    "table": table_so_far(now.results),
                    "heatmap_text": said("Stopped before the orders were drawn."),
                }
            yield changes
            if now.state == "failed":
                raise fail(now.error)

    def draw_path(self, job_id: str, block: Any) -> tuple[Any, str]:
        """Run full compute once more, untimed, and draw a block's path beside what it is foretold.

        Raises
        ------
        gr.Error
            If there is no such job or block, or its features would not fit.
        """
        job = self.jobs.find(job_id or "")
        if job is None:
            raise fail("Make a comparison first; this draws a block of it.")
        request = job.request
        if request.spec.makes_video and not request.spec.embedded:
            raise fail(
                "The features of a whole video do not fit the page; use the command line: "
                f"tracache analyse trajectories --model {request.model}"
            )
        try:
            if block is None:
                raise ValueError("this run has watched no block: compare as published as well")
            number = require_integer("block", whole(block), 0, 10_000)
            heard = list(self.backend.run("path", request, number))
        except (ValueError, ModelUnavailableError) as error:
            raise tell(error) from error
        (path,) = [event for event in heard if isinstance(event, BlockPath)]
        figure = gr.update(value=calm_path(path.figure), visible=True)
        return figure, said(describe_path(path.away))

    def gallery(self, mine: list[str]) -> str:
        """Draw this session's finished jobs, as far as they are still kept."""
        found = [(i, self.jobs.find(i)) for i in mine]
        kept = [(i, job, job.snapshot()) for i, job in found if job is not None]
        return gallery(
            [
                (job_id, job.request, now.report, {a: file_url(f) for a, f in now.files.items()})
                for job_id, job, now in kept
                if now.report is not None
            ]
        )

    def stop(self, http: gr.Request, shown: str = "") -> Any:
        """Ask this session's own job to end after the step it is at.

        Parameters
        ----------
        http : gr.Request
            Whose session it is.
        shown : str, default ""
            Id of the job on the page; where it is somebody else's, that is said.

        Returns
        -------
        update
            Of the line beside the button, which says why nothing was stopped: what does not wait
            in Gradio's queue has no toast.
        """
        if self.jobs.stop(http.session_hash or ""):
            return gr.update(visible=False)
        job = self.jobs.find(shown)
        under_way = job is not None and job.snapshot().state not in OVER
        return gr.update(value=stop_note(NOT_YOURS if under_way else NOTHING_RUNS), visible=True)

    def leave(self, http: gr.Request) -> None:
        """Forget a session whose tab was closed; what it began goes on, and can be found again."""
        self.jobs.leave(http.session_hash or "")
