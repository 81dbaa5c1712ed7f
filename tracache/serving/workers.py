"""A process for each GPU of this machine; a request goes to one that is free.

Processes and not threads, since skipped steps are short: two threads would wait for each other's
Python, and both would show in the timings.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import psutil
import torch

from tracache.compare.events import Stage
from tracache.models.loading import pick_device
from tracache.serving.backend import GRACE_S, PATIENCE_S, Elsewhere, WorkerLostError
from tracache.serving.discretion import keep_prompts_out
from tracache.serving.work import About, Quiet, do
from tracache.settings import Settings

log = logging.getLogger(__name__)

LOST = (
    "The process that did the work was ended, for want of memory as a rule. Another has taken its "
    "place: try again with fewer arms, a lower max order or a smaller model."
)

#: How long a process has to end when it is told to, seconds.
_END_S = 2.0

_STOP = "stop"
_DONE = "done"


class Workers(Elsewhere):
    """Processes that do the work.

    Parameters
    ----------
    settings : Settings
        Of this process, and of theirs.
    first : str
        The model that each has ready.
    count : int
        How many there are.
    """

    def __init__(self, settings: Settings, first: str, count: int) -> None:
        self.at_once = count
        self._first = first
        self._failed = {}
        self._free: queue.Queue[_Worker] = queue.Queue()
        places = visible_gpus() if pick_device(settings.device).type == "cuda" else []
        self._workers = [
            _Worker(settings, places[i % len(places)] if places else None, count)
            for i in range(count)
        ]
        abouts = []
        try:
            for worker in self._workers:
                events = [e for e in worker.run("introduce", first) if not isinstance(e, Quiet)]
                abouts += [self._heard("introduce", (), event) for event in events]
        except BaseException:
            self.close()
            raise
        self._about: About = abouts[0]
        for worker in self._workers:
            self._free.put(worker)

    def run(self, name: str, *arguments: Any) -> Generator[Any, None, None]:
        worker = None
        while worker is None:
            try:
                worker = self._free.get(timeout=PATIENCE_S)
            except queue.Empty:
                # Whoever waits can be told so, and can give up.
                yield Stage("wait", "Waiting for another run to end")
        try:
            with closing(worker.run(name, *arguments)) as events:
                for event in events:
                    yield self._heard(name, arguments, event)
        finally:
            self._free.put(worker)

    def why_not_ready(self) -> str:
        # One that was lost is replaced when it is wanted; but where all are, something is wrong.
        return (
            "" if any(w.is_alive for w in self._workers) else "No process is left to do the work."
        )

    def close(self) -> None:
        for worker in self._workers:
            worker.end()


class _Worker:
    """One process and the line to it; used by one thread at a time.

    A second thread listens, for as long as the process lives: who waits for an event can then give
    up, whatever the process does or does not.
    """

    def __init__(self, settings: Settings, gpu: str | None, count: int) -> None:
        self._given = (settings, gpu, count)
        self._begin()

    def _begin(self) -> None:
        # Forked, it would share a CUDA that may have begun.
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, *self._given), name="tracache-worker", daemon=True
        )
        self._process.start()
        # With the other end open here too, the end of the process would not be noticed.
        theirs.close()
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._listener = threading.Thread(
            target=_listen, args=(self._line, self._events), name="worker-line", daemon=True
        )
        self._listener.start()

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.is_alive()

    def run(self, name: str, *arguments: Any) -> Generator[Any, None, None]:
        """Yield what the work yields; closed early, it ends after the step it is at."""
        over = True
        try:
            if not self._process.is_alive():
                self._replace()
            self._line.send((name, arguments))
            over = False
            while (event := self._next()) != _DONE:
                yield event
            over = True
        except (EOFError, OSError):
            over = True
            self._replace()
            raise WorkerLostError(LOST) from None
        finally:
            if not over:
                self._stop()

    def _next(self) -> Any:
        """Return what comes next, or Quiet where nothing comes."""
        try:
            event = self._events.get(timeout=PATIENCE_S)
        except queue.Empty:
            return Quiet()
        if event is None:
            raise EOFError
        return event

    def _stop(self) -> None:
        """Ask for the end of the work; a process that does not hear it is replaced."""
        until = time.monotonic() + GRACE_S
        try:
            self._line.send(_STOP)
            while self._next() != _DONE:
                if time.monotonic() > until:
                    log.error("a worker did not stop within %g s", GRACE_S)
                    self._replace()
                    return
        except (EOFError, OSError):
            self._replace()

    def _replace(self) -> None:
        self.end()
        log.error(
            "a worker ended with exit code %s; another takes its place", self._process.exitcode
        )
        self._begin()

    def end(self) -> None:
        """End the process, which may hang or be gone."""
        self._process.terminate()
        self._process.join(_END_S)
        # What was suspended, or waits for a device that does not answer, hears nothing else.
        self._process.kill()
        self._process.join(_END_S)
        self._listener.join(_END_S)
        if not self._listener.is_alive():
            self._line.close()


def _listen(line: Connection, events: queue.SimpleQueue[Any]) -> None:
    """Hand on what a process says, and None when it has ended."""
    with suppress(EOFError, OSError):
        while True:
            events.put(line.recv())
    events.put(None)


def visible_gpus() -> list[str]:
    """Return the GPUs of this process, each as ``CUDA_VISIBLE_DEVICES`` names it."""
    if not torch.cuda.is_available():
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named or [str(i) for i in range(torch.cuda.device_count())]


def count_workers(settings: Settings) -> int:
    """Return how many processes there should be: one a GPU where there are several, else none."""
    if settings.workers is not None:
        return settings.workers
    there: Sequence[str] = visible_gpus() if settings.device in (None, "cuda") else ()
    return len(there) if len(there) > 1 else 0


def _serve(line: Connection, settings: Settings, gpu: str | None, count: int) -> None:
    """Do what is asked for over the line until it is closed; the life of a worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    if not settings.log_prompts:
        keep_prompts_out()
    if gpu is not None:
        # Before CUDA begins: what it sees is then its only GPU.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        settings = replace(settings, device="cuda")
    else:
        cores = psutil.cpu_count(logical=False) or 1
        torch.set_num_threads(max(1, min(torch.get_num_threads(), cores // count)))
    # The page is gone when the line is; an interrupt that reached both is the page's to handle.
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            request = line.recv()
            if request != _STOP:  # one that came after the end
                name, arguments = request
                _work(line, do(name, arguments, settings))


def _work(line: Connection, events: Generator[Any, None, None]) -> None:
    for event in events:
        line.send(event)
        if line.poll() and line.recv() == _STOP:
            events.close()
            break
    line.send(_DONE)
