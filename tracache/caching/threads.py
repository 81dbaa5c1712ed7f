"""One cache serves one run at a time: two threads at once are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Threads:
    """Refuses to serve two threads at once, whose images would be mixed up otherwise."""

    _MESSAGE = (
        "two threads run this denoiser at the same time, and its cache serves one run: give "
        "each thread a pipeline of its own, or let them take turns with a lock"
    )

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._owner: threading.Thread | None = None
        # Threads whose unfinished run was pushed aside by another thread's new one.
        self._ousted: set[threading.Thread] = set()
        #: Whether two have met since somebody last took note.
        self.clashed = False

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold the cache for one forward."""
        if not self._busy.acquire(blocking=False):
            self.clashed = True
            raise RuntimeError(self._MESSAGE)
        try:
            yield
        finally:
            self._busy.release()

    def check(self, starts_run: Callable[[], bool]) -> None:
        """Take note of a forward's thread; raise if it goes on with a run that is gone."""
        thread, owner = threading.current_thread(), self._owner
        if thread is owner:
            return
        # A run may move from thread to thread, as generators do, but not come back to one whose
        # own run another has pushed aside.
        try:
            starts = owner is not None and starts_run()
        except RuntimeError as error:
            # What looks like runs broken off is two of them in turn.
            raise RuntimeError(self._MESSAGE) if thread in self._ousted else error from None
        if owner is not None and starts:
            self._ousted = {t for t in self._ousted if t.is_alive()} | {owner}
        elif thread in self._ousted:
            raise RuntimeError(self._MESSAGE)
        self._ousted.discard(thread)
        self._owner = thread
