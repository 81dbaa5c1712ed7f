"""Which session runs what, so that Stop, a closed tab and a deadline can end it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Runs:
    """The runs under way, by session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: dict[str, set[threading.Event]] = {}

    @contextmanager
    def enter(self, session: str) -> Iterator[threading.Event]:
        """Register a run; the event is set when somebody asks it to stop."""
        stop = threading.Event()
        with self._lock:
            self._stops.setdefault(session, set()).add(stop)
        try:
            yield stop
        finally:
            with self._lock:
                self._stops[session].discard(stop)
                if not self._stops[session]:
                    del self._stops[session]

    def stop(self, session: str) -> bool:
        """Ask a session's runs to stop; return whether there was one."""
        with self._lock:
            stops = list(self._stops.get(session, ()))
        for stop in stops:
            stop.set()
        return bool(stops)
