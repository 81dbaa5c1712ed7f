"""What happens when somebody presses something."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from tracache.compare import compare
from tracache.figures import describe_trace, order_heatmap
from tracache.models.loading import ModelUnavailableError, load_model, require_available
from tracache.models.sources import downloads
from tracache.report import ArmDone, ArmResult, ArmStarted, Event, Finished, Stage, StepDone
from tracache.request import Request
from tracache.settings import Settings
from tracache.ui.asking import read_request
from tracache.ui.runs import Runs
from tracache.ui.views import ArmProgress, Progress, headline, show_progress, table

log = logging.getLogger(__name__)

#: What a run shows, in the order in which :meth:`Handlers.generate` yields it.
OUTPUTS = (
    "status",
    "headline",
    "full_image",
    "arm_image",
    "extra_image",
    "slider",
    "table",
    "heatmap",
    "heatmap_text",
    "seed",
)

SECONDS_BETWEEN_UPDATES = 0.25


class Handlers:
    """Handlers of one page; knows which session runs what."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs = Runs()

    def generate(self, values: dict[str, Any], request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Compare full compute with an accelerated arm, from the same prompt and noise."""
        try:
            require_available(values["model"], self._settings)
            asked = read_request(values, self._settings)
            yield _loading(asked, self._settings)
            loaded = load_model(asked.model, self._settings)
        except (ValueError, ModelUnavailableError) as error:
            raise _tell(error) from error
        try:
            with (
                self._runs.enter(request.session_hash or "") as stop,
                closing(compare(loaded, asked)) as events,
            ):
                yield from _show(events, asked, stop, self._settings.deadline_s)
        except gr.Error:
            raise
        except ModelUnavailableError as error:
            raise _tell(error) from error
        except Exception as error:
            log.exception("a run failed")
            raise gr.Error(
                "The run failed; the server's log says why. Try again, or other settings.",
                print_exception=False,
            ) from error

    def stop(self, request: gr.Request) -> None:
        """Ask this session's run to end after the step it is at."""
        if not self._runs.stop(request.session_hash or ""):
            gr.Info("Nothing is running.")

    def leave(self, request: gr.Request) -> None:
        """End the runs of a session whose tab was closed."""
        self._runs.stop(request.session_hash or "")


def _tell(error: Exception) -> gr.Error:
    """Turn a refusal into a message, with its first word, a field's name, as the page has it."""
    first, _, rest = str(error).partition(" ")
    words = f"{first.replace('_', ' ')} {rest}"
    return gr.Error(words[:1].upper() + words[1:], print_exception=False)


def _loading(asked: Request, settings: Settings) -> tuple[Any, ...]:
    """Say what is going on until the model is there."""
    screen = _Screen(asked)
    screen.progress.message = f"Loading {asked.spec.title} …"
    if asked.spec.footprint is not None and downloads(asked.spec, settings):
        size = asked.spec.footprint.download_gb
        screen.progress.message = f"Downloading {asked.spec.title}, about {size:g} GB …"
    return screen.update()


def _show(
    events: Iterator[Event], asked: Request, stop: Any, deadline_s: float
) -> Iterator[tuple[Any, ...]]:
    """Turn the events of a run into updates of the page."""
    screen = _Screen(asked)
    yield screen.update(seed=asked.seed)
    start = shown = time.monotonic()
    for event in events:
        if stop.is_set():
            screen.progress.message = f"Stopped {screen.where()}."
            yield screen.update()
            return
        if time.monotonic() - start > deadline_s:
            raise gr.Error(
                f"This took longer than the {deadline_s:g} seconds allowed here, and was stopped; "
                "choose fewer steps.",
                print_exception=False,
            )
        update = screen.take(event)
        # An update at every step would take the processor from what is being timed.
        now = time.monotonic()
        if not isinstance(event, StepDone) or now - shown > SECONDS_BETWEEN_UPDATES:
            shown = now
            yield update


class _Screen:
    """What the page shows of one run."""

    def __init__(self, asked: Request) -> None:
        self.asked = asked
        self.progress = Progress(message="Starting")
        self.results: list[ArmResult] = []

    def update(self, **changes: Any) -> tuple[Any, ...]:
        """Return one update per output: the progress, what changes, and the rest as it is."""
        changes = {"status": show_progress(self.progress), **changes}
        return tuple(changes.get(name, gr.skip()) for name in OUTPUTS)

    def where(self) -> str:
        """Say how far the run has come."""
        if not self.progress.arms:
            return "before the first step"
        arm = self.progress.arms[-1]
        return f"after step {arm.done} of {arm.num_steps} of {arm.title}"

    def take(self, event: Event) -> tuple[Any, ...]:
        """Return the update that an event calls for."""
        match event:
            case Stage():
                self.progress.message = f"{event.message} …"
            case ArmStarted():
                self.progress.message = f"{event.title} …"
                self.progress.arms.append(ArmProgress(event.title, event.num_steps))
            case StepDone():
                self.progress.arms[-1].computed.append(event.computed)
                self.progress.arms[-1].elapsed_s = event.elapsed_s
            case ArmDone():
                self.results.append(event.result)
                return self.update(**self._pictures())
            case Finished():
                self.progress.message = "Done."
                # The last update holds everything: it is what a program gets as the result.
                changes: dict[str, Any] = {
                    **self._pictures(),
                    "seed": self.asked.seed,
                    "headline": headline(event.report),
                    "table": table(event.report.arms),
                    "heatmap": None,
                    "heatmap_text": "Nothing was skipped by a cache, so there are no orders.",
                }
                if event.report.trace is not None:
                    changes["heatmap"] = order_heatmap(event.report.trace)
                    changes["heatmap_text"] = describe_trace(event.report.trace)
                return self.update(**changes)
        return self.update()

    def _pictures(self) -> dict[str, Any]:
        """Show the arms that are done; an earlier run's pictures go when this one has its first."""
        done = [result.image for result in self.results] + [None, None]
        shown: dict[str, Any] = {
            "full_image": done[0],
            "arm_image": done[1],
            "extra_image": done[2],
            "slider": (done[0], done[1]) if done[1] is not None else None,
        }
        if len(self.results) == 1:
            shown |= {"headline": "", "table": "", "heatmap": None, "heatmap_text": ""}
        return shown
