"""Who may hear answers that never end, and how many of them one address may hold open."""

from __future__ import annotations

import re
from collections import Counter

from gradio.route_utils import API_PREFIX
from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, address_of, refuse

#: A tab has two, a heartbeat and the news of what it runs; many may share an address.
MAX_STREAMS = 128

_STREAMS = re.compile(rf"{API_PREFIX}/(heartbeat/|queue/data|call/|mcp)")

TOO_MANY = (
    f"Your address holds {MAX_STREAMS} connections open, which is all that one may have: close "
    "some tabs or programs."
)

NOTHING_ASKED = "Nothing was asked for under this name, so there is nothing to hear."


class Streams(Guard):
    """Middleware that refuses an address one stream too many: status 429.

    Nor does it let anybody wait for the news of a session that has asked for nothing: Gradio would
    find out once its answer has begun, and write a page of error into the log.

    Parameters
    ----------
    app : ASGI application
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._held: Counter[str] = Counter()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or count it for as long as it is answered."""
        if not _STREAMS.search(scope["path"]):
            await self._app(scope, receive, send)
            return
        if scope["path"].rstrip("/").endswith("queue/data") and not _has_asked(scope):
            await refuse(scope, receive, send, 404, NOTHING_ASKED)
            return
        address = address_of(scope)
        if self._held[address] >= MAX_STREAMS:
            await refuse(scope, receive, send, 429, TOO_MANY, retry_after="10")
            return
        self._held[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]


def _has_asked(scope: Scope) -> bool:
    """Whether the session whose news are asked for has something in the queue, or coming."""
    session = QueryParams(scope["query_string"]).get("session_hash", "")
    return session in scope["app"].get_blocks()._queue.pending_messages_per_session
