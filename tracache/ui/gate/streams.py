"""How many answers that never end one address may hold open."""

from __future__ import annotations

import re
from collections import Counter

from gradio.route_utils import API_PREFIX
from starlette.types import ASGIApp, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, address_of, refuse

#: A tab has two, a heartbeat and the news of what it runs; many may share an address.
MAX_STREAMS = 128

_STREAMS = re.compile(rf"{API_PREFIX}/(heartbeat/|queue/data|call/|mcp)")

TOO_MANY = (
    f"Your address holds {MAX_STREAMS} connections open, which is all that one may have: close "
    "some tabs or programs."
)


class Streams(Guard):
    """Middleware that refuses an address its next stream: status 429.

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
