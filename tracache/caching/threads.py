"""One cache serves one run at a time: two threads at once are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Owner:
    """The thread whose run it is.

    A run may move from thread to thread, as generators do, but not come back to one whose own
    unfinished run another has pushed aside.

    Parameters
    ----------
    message : str
        Of the RuntimeError that such a thread gets.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self._ousted: set[threading.Thread] = set()

    @property
    def is_ousted(self) -> bool:
        """Whether the current thread's run was pushed aside."""
        return threading.current_thread() in self._ousted

    def begin(self, pushes: bool = True) -> None:
        """The current thread begins a run, and pushes the owner's aside if that is not over."""
        thread = threading.current_thread()
        with self._lock:
            if pushes and self.thread is not None:
                self._ousted.add(self.thread)
            self._ousted = {t for t in self._ousted if t.is_alive()} - {thread}
            self.thread = thread

    def go_on(self) -> None:
        """The current thread goes on with the run; raises where its own was pushed aside."""
        with self._lock:
            if self.is_ousted:
                raise RuntimeError(self._message)
            self.thread = threading.current_thread()


class Threads:
    """Refuses to serve two threads at once, whose images would be mixed up otherwise."""

    _MESSAGE = (
        "two threads run this denoiser at the same time, and its cache serves one run: give "
        "each thread a pipeline of its own, or let them take turns with a lock"
    )

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._owner = Owner(self._MESSAGE)
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
        owner = self._owner
        if threading.current_thread() is owner.thread:
            return
        try:
            starts = owner.thread is not None and starts_run()
        except RuntimeError as error:
            # What looks like runs broken off is two of them in turn.
            raise RuntimeError(self._MESSAGE) if owner.is_ousted else error from None
        if starts:
            owner.begin()
        else:
            owner.go_on()
