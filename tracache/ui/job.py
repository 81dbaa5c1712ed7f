"""A job: a request on its way, what is known of it at any moment, and what is left of it."""

from __future__ import annotations

import base64
import errno
import io
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from tracache.compare.comparison import NotFiniteError
from tracache.compare.estimate import note_pace
from tracache.compare.events import ArmDone, ArmStarted, Event, Finished, Stage, StepDone
from tracache.compare.preview import Glimpse, Palette
from tracache.compare.report import ArmResult, Report
from tracache.compare.request import Request
from tracache.compare.saving import save_arm, zip_report
from tracache.compare.serialise import given_of
from tracache.models.loading import ModelUnavailableError, free_unused
from tracache.models.teams import release_team
from tracache.serving.backend import WorkerLostError
from tracache.ui.progress import ArmProgress, Progress

log = logging.getLogger(__name__)

FAILED = "The run failed; the server's log says why, under {run}. Try again, or other settings."
OUT_OF_MEMORY = (
    "The device ran out of memory. What the run held has been freed: try again with fewer arms, a "
    "lower max order or a smaller model."
)
DISK_FULL = "The server's disk is full, so the result could not be kept. Try again later."

#: States in which nothing more will come.
OVER = ("done", "stopped", "failed")

#: What a failure is counted as, where its error says so by itself.
_KINDS: dict[type[Exception], str] = {
    ModelUnavailableError: "model",
    NotFiniteError: "numbers",
    WorkerLostError: "worker",
}

#: Makes the events of a request.
Work = Callable[[Request], Generator[Event, None, None]]


@dataclass(frozen=True)
class Snapshot:
    """What is known of a job at one moment.

    Attributes
    ----------
    state : {"running", "done", "stopped", "failed"}
        Where it is.
    progress : Progress
        How far the arms have come; nobody changes it any more.
    results : tuple of ArmResult
        Arms that are done.
    files : dict
        Arm → its picture's file.
    report : Report or None
        Once all is done.
    archive : Path or None
        Everything in one file, once all is done.
    error : str
        Why it failed; for people.
    version : int
        Grows with every change.
    """

    state: str = "running"
    progress: Progress = field(default_factory=Progress)
    results: tuple[ArmResult, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    report: Report | None = None
    archive: Path | None = None
    error: str = ""
    version: int = 0


class Job:
    """One request under way or done; written by its own thread, read by whoever looks on.

    Parameters
    ----------
    request : Request
        What is done.
    root : Path
        Folder for files; the job has its own in it.

    Attributes
    ----------
    id : str
        Cannot be guessed: whoever has it may see the job. It is in links.
    token : str
        Cannot be guessed: whoever has it may stop the job. It is in no link; only the page that
        began the job is told.
    started : float
        Monotonic clock, seconds.
    """

    def __init__(self, request: Request, root: Path) -> None:
        self.id = secrets.token_urlsafe(12)
        self.token = secrets.token_urlsafe(24)
        self.request = request
        self.folder = root / self.id
        self.started = time.monotonic()
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._now = Snapshot(progress=Progress(message="Waiting for the device …"))
        self._looks: dict[str, tuple[Palette, Glimpse | None]] = {}
        self._last_looks: dict[str, str] = {}
        self._failed = FAILED.format(run=self.id)
        self._kind = ""

    def snapshot(self) -> Snapshot:
        """Return what is known now."""
        with self._changed:
            return replace(self._now, progress=deepcopy(self._now.progress))

    def previews(self) -> dict[str, str]:
        """Return small pictures of the arms under way, or of where they stopped, as data URIs."""
        with self._changed:
            looks = dict(self._looks)
        drawn = {
            arm: _data_uri(palette, glimpse)
            for arm, (palette, glimpse) in looks.items()
            if glimpse is not None
        }
        # What this thread has computed with would slow down what is being timed.
        release_team()
        return self._last_looks | drawn

    def follow(self, every_s: float = 0.25) -> Iterator[Snapshot]:
        """Yield the job's state at once, then when it has changed, until it is over.

        Parameters
        ----------
        every_s : float
            Shortest time between two, seconds: an update at every step would take the processor
            from what is being timed. The end is told at once.
        """
        seen = -1
        while True:
            self._wait_for_change(seen)
            now = self.snapshot()
            if now.version != seen:
                yield now
            seen = now.version
            if now.state in OVER:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._now.state in OVER, timeout=every_s)

    def _wait_for_change(self, seen: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._now.version != seen, timeout=10)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        with self._changed:
            return self._now.state in OVER

    def give_up(self, why: str) -> None:
        """End the job as failed, at once, whatever its thread is at."""
        self._stop.set()
        if not self.is_over:
            self._fail("restart", why, why)

    def stop(self) -> None:
        """Ask the job to end after the step it is at."""
        self._stop.set()

    def work(self, make: Work, deadline_s: float) -> None:
        """Do what is asked; called once, in the job's own thread."""
        out_of_memory = False
        try:
            self.folder.mkdir(parents=True)
            self._drive(make, deadline_s)
        except (ModelUnavailableError, NotFiniteError, WorkerLostError, ValueError) as error:
            self._fail(_KINDS.get(type(error), "input"), "It could not be done.", str(error))
        except (torch.OutOfMemoryError, MemoryError):
            out_of_memory = True
        except OSError as error:
            log.exception("run %s failed", self.id)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            if full:
                # What there is of it takes the room that the next one needs.
                shutil.rmtree(self.folder, ignore_errors=True)
                self._set(lambda _: None, files={})
            self._fail("disk", "It failed.", DISK_FULL if full else self._failed)
        except Exception:
            log.exception("run %s failed", self.id)
            self._fail("bug", "It failed.", self._failed)
        if out_of_memory:
            # The traceback held the tensors that filled it; here they can go.
            free_unused()
            self._fail("memory", "It ran out of memory.", OUT_OF_MEMORY)

    def _drive(self, make: Work, deadline_s: float) -> None:
        with closing(make(self.request)) as events:
            for event in events:
                self._take(event)
                if self._now.state in OVER:
                    return
                if self._stop.is_set():
                    self._end("stopped", f"Stopped {self._now.progress.where()}.")
                    return
                if time.monotonic() - self.started > deadline_s:
                    why = (
                        f"This took longer than the {deadline_s:g} seconds allowed here, and was "
                        "stopped; choose fewer steps."
                    )
                    self._fail("deadline", why, why)
                    return

    def _fail(self, kind: str, message: str, error: str) -> None:
        self._kind = kind
        self._end("failed", message, error)

    def summary(self, prompt: bool = False) -> dict[str, Any]:
        """Return what the log says of the job; the prompt only where that is wanted."""
        given = given_of(self.request)
        if not prompt:
            given.pop("prompt", None)
        now = self._now
        return {
            "run": self.id,
            "outcome": now.state,
            "seconds": round(time.monotonic() - self.started, 2),
            **given,
            "denoising_s": {a.arm: round(a.denoising_s, 3) for a in now.results if not a.reused},
            **({"error": now.error, "kind": self._kind} if now.error else {}),
        }

    def _take(self, event: Event) -> None:
        match event:
            case Stage():
                self._set(lambda p: _enter(p, event))
            case ArmStarted():
                self._looks[event.arm] = (event.palette, None)
                arm = ArmProgress(event.arm, event.title, event.num_steps)
                self._set(lambda p: _begin(p, arm))
            case StepDone():
                if event.glimpse is not None:
                    self._looks[event.arm] = (self._looks[event.arm][0], event.glimpse)
                self._set(lambda p: _advance(p.arms[-1], event))
            case ArmDone():
                self._arm_done(event.result)
            case Finished():
                full = event.report.arms[0]
                if full.timing is not None or not full.reused:
                    note_pace(self.request, full.denoising_s)
                archive = zip_report(event.report, self.folder, f"tracache-{self.id}")
                self._set(
                    lambda p: setattr(p, "message", "Done."),
                    state="done",
                    report=event.report,
                    results=event.report.arms,
                    archive=archive,
                )

    def _arm_done(self, result: ArmResult) -> None:
        file = save_arm(result, self.request, self.folder)
        self._looks.pop(result.arm, None)

        def note(progress: Progress) -> None:
            if result.reused:
                arm = ArmProgress(result.arm, result.title, result.num_steps, reused=True)
                arm.computed = [True] * result.num_steps
                progress.arms.append(arm)

        self._set(
            note,
            results=(*self._now.results, result),
            files={**self._now.files, result.arm: file},
        )

    def _end(self, state: str, message: str, error: str = "") -> None:
        if state == "stopped":
            self._last_looks = self.previews()
        self._looks.clear()
        self._set(lambda p: setattr(p, "message", message), state=state, error=error)

    def _set(self, change: Callable[[Progress], object], **changes: object) -> None:
        with self._changed:
            if self._now.state in OVER:
                return  # given up while its thread went on
            change(self._now.progress)
            self._now = replace(self._now, version=self._now.version + 1, **changes)  # type: ignore[arg-type]
            self._changed.notify_all()


def _enter(progress: Progress, stage: Stage) -> None:
    progress.message, progress.stage = f"{stage.message} …", stage.name


def _begin(progress: Progress, arm: ArmProgress) -> None:
    progress.message, progress.stage = f"{arm.title} …", ""
    progress.arms.append(arm)


def _advance(arm: ArmProgress, event: StepDone) -> None:
    arm.computed.append(event.computed)
    arm.elapsed_s = event.elapsed_s


def _data_uri(palette: Palette, glimpse: Glimpse) -> str:
    buffer = io.BytesIO()
    palette.render(glimpse.estimate()).save(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
