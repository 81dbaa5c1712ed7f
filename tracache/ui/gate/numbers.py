"""Every request has a number: in its answer, and in the log where it was refused or failed."""

from __future__ import annotations

import logging
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, address_of

log = logging.getLogger(__name__)

#: The answer's header that has it.
HEADER = "X-Request-ID"

#: What is part of ordinary life: looking for what is not there, or before logging in.
_ORDINARY = (401, 404)


class Numbers(Guard):
    """Middleware that numbers requests."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and number its answer."""
        number = secrets.token_hex(6)
        scope.setdefault("state", {})["request_id"] = number

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = number
                status = message["status"]
                if status >= 400 and status not in _ORDINARY:
                    # Without what was asked for: addresses may hold prompts.
                    path = scope["path"].partition("file=")[0][:80]
                    log.info(
                        "request %s from %s: %s %s answered %d",
                        number,
                        address_of(scope),
                        scope["method"],
                        path,
                        status,
                    )
            await send(message)

        await self._app(scope, receive, note)
