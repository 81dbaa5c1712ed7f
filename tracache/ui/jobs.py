"""Jobs under way and done: each in a thread of its own, so that a lost connection loses nothing."""

from __future__ import annotations

import contextvars
import json
import logging
import secrets
import shutil
import threading
import time
from pathlib import Path

from tracache.compare.request import Request
from tracache.ui.job import OVER, Job, Work
from tracache.ui.prometheus import Metrics

log = logging.getLogger(__name__)

#: How long a result stays under its job's id, seconds, and how many stay at most.
KEPT_S = 3600.0
KEPT_JOBS = 64


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

    def start(self, request: Request, session: str, make: Work) -> Job:
        """Begin a job; a session has one at a time, so its earlier one is asked to stop.

        Without a session, as for programs, nobody but the job itself can end it.
        """
        job = Job(request, self._root)
        with self._lock:
            self._expire()
            self._jobs[job.id] = job
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
            return self._jobs.get(job_id)

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
        over = [job for job in self._jobs.values() if job.snapshot().state in OVER]
        old = [job for job in over if now - job.started > KEPT_S]
        spare = len(self._jobs) - len(old) - KEPT_JOBS
        for job in [*old, *[job for job in over if job not in old][: max(0, spare)]]:
            del self._jobs[job.id]
            shutil.rmtree(job.folder, ignore_errors=True)
