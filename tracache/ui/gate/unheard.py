"""What nobody came to hear: messages of runs whose visitors are gone.

Gradio keeps what it has to tell a session until somebody listens, of the last two thousand
sessions, and an update of the page holds pictures. Whoever joins the queue and never listens costs
a megabyte.
"""

from __future__ import annotations

import time

import gradio as gr

#: How long messages of runs that are over wait to be heard, seconds.
KEPT_S = 60.0


class Unheard:
    """Drops such messages.

    Parameters
    ----------
    page : gr.Blocks
        With its queue.
    """

    def __init__(self, page: gr.Blocks) -> None:
        self._queue = page._queue
        #: When a session was first seen with nothing under way.
        self._idle: dict[str, float] = {}

    def drop(self) -> int:
        """Drop what has waited too long; return of how many sessions."""
        queue, now = self._queue, time.monotonic()
        idle = [name for name in list(queue.pending_messages_per_session) if self._is_idle(name)]
        self._idle = {name: self._idle.get(name, now) for name in idle}
        old = [name for name, since in self._idle.items() if now - since >= KEPT_S]
        for name in old:
            # Who comes back later begins with an empty list, as at first.
            queue.pending_messages_per_session.pop(name, None)
            queue.pending_event_ids_session.pop(name, None)
            del self._idle[name]
        return len(old)

    def _is_idle(self, session: str) -> bool:
        """Whether none of a session's runs waits or is under way."""
        events = self._queue.pending_event_ids_session.get(session, ())
        return not any(event in self._queue.event_ids_to_events for event in list(events))
