"""Jobs under way and done: each in a thread of its own, so that a lost connection loses nothing."""

from __future__ import annotations

import contextvars
import json
import logging
import secrets
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

from tracache.compare.request import Request
from tracache.ui.job import OVER, Job, Work
from tracache.ui.prometheus import Metrics
from tracache.ui.toast import fail
from tracache.ui.visitor import address_of_visitor

log = logging.getLogger(__name__)

#: How long a result stays under its job's id, seconds, and how many stay at most.
KEPT_S = 3600.0
KEPT_JOBS = 64

ENDING = "The server is being restarted; try again in a minute."
ENDED = "The server was restarted before this was done; try again in a minute."


class Jobs:
    """All jobs of a server, by id and by session.

    Parameters
    ----------
    root : Path
        Folder for their files; each job has its own in it.
    deadline_s : float
        Longest time that a job may take.
    log_prompts : bool, default False
        Whether the log says what was asked for.
    metrics : Metrics, optional
        Hears of every job that ends.
    """

    def __init__(
        self,
        root: Path,
        deadline_s: float,
        log_prompts: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self._root = root
        self._log_prompts = log_prompts
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._latest: dict[str, Job] = {}
        self._visitors: dict[str, str] = {}
        self._ending = False

    def start(self, request: Request, session: str, make: Work) -> Job:
        """Begin a job; a session has one at a time, so its earlier one is asked to stop.

        Without a session, as for programs, nobody but the job itself can end it.

        Raises
        ------
        gr.Error
            If the server is about to end.
        """
        job = Job(request, self._root)
        with self._lock:
            if self._ending:
                raise fail(ENDING)
            self._jobs[job.id] = job
            self._visitors[job.id] = address_of_visitor()
            self._expire()
            if session:
                if session in self._latest:
                    self._latest[session].stop()
                self._latest[session] = job
        # Whatever the request's context holds, such as whose quota it is, goes along.
        context = contextvars.copy_context()
        threading.Thread(
            target=lambda: context.run(self._work, job, make),
            name=f"job-{job.id}",
            daemon=True,
        ).start()
        return job

    def _work(self, job: Job, make: Work) -> None:
        job.work(make, self._deadline_s)
        log.info("%s", json.dumps(job.summary(self._log_prompts), ensure_ascii=False))
        if self._metrics is not None:
            self._metrics.note(job.summary())

    def under_way(self) -> int:
        """Return how many jobs are not over."""
        with self._lock:
            jobs = list(self._jobs.values())
        return sum(job.snapshot().state not in OVER for job in jobs)

    def find(self, job_id: str) -> Job | None:
        """Return the job of that id, if it is still kept."""
        with self._lock:
            self._expire()
            return self._jobs.get(job_id)

    def expire(self) -> None:
        """Drop what is too old or too much."""
        with self._lock:
            self._expire()

    def why_closed(self) -> str:
        """Say why nothing more is begun; empty where it is."""
        return ENDING if self._ending else ""

    def drain(self, seconds: float) -> None:
        """Begin nothing more; let what is under way go on for so long, and tell the rest.

        Parameters
        ----------
        seconds : float
            Longest time that this takes, whatever is under way.
        """
        with self._lock:
            self._ending = True
        until = time.monotonic() + seconds
        while self.under_way() and time.monotonic() < until:
            time.sleep(0.1)
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.give_up(ENDED)

    def stop(self, session: str) -> bool:
        """Ask a session's own job to stop; return whether one was under way."""
        with self._lock:
            job = self._latest.get(session)
        if job is None or job.snapshot().state in OVER:
            return False
        job.stop()
        return True

    def adopt(self, session: str, job: Job, token: str) -> bool:
        """Make a job this session's own, so that it can stop it, where it has the job's token.

        Its id alone, which is in every link to it, lets nobody do more than look on. Whoever began
        it has the token, and comes as another session when the page is loaded again.
        """
        if not secrets.compare_digest(token.encode(), job.token.encode()):
            return False
        with self._lock:
            self._latest[session] = job
        return True

    def leave(self, session: str) -> None:
        """Forget a session; its job goes on, and stays under its id."""
        with self._lock:
            self._latest.pop(session, None)

    def _expire(self) -> None:
        """Drop what is too old or too much; with the lock held."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.is_over and now - job.started > KEPT_S:
                self._drop(job)
        while len(self._jobs) > KEPT_JOBS and (spare := self._one_too_many()):
            self._drop(spare)

    def _one_too_many(self) -> Job | None:
        """The oldest result of the visitor who has most: nobody's make room for another's many."""
        over = [job for job in self._jobs.values() if job.is_over]
        have = Counter(self._visitors[job.id] for job in over)
        if not over:
            return None
        # The first of equals is the one that was begun first.
        return max(over, key=lambda job: have[self._visitors[job.id]])

    def _drop(self, job: Job) -> None:
        del self._jobs[job.id], self._visitors[job.id]
        shutil.rmtree(job.folder, ignore_errors=True)
