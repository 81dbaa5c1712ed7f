"""What of Gradio's server the page uses; the rest of it is closed.

Gradio also takes uploads, keeps links to states, fetches on others' behalf, edits the app's code
and more. The page needs none of it, and what is not there needs no guarding.
"""

from __future__ import annotations

import re

from gradio.route_utils import API_PREFIX
from starlette.types import ASGIApp, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, refuse

#: Below Gradio's prefix: the queue and what comes of it, what does not wait in it (as Stop), files
#: of runs, what a page asks as it opens, and what the server asks itself as it starts.
_ALWAYS = (
    r"queue/(join|data|status)|call/.+|run/predict|cancel|reset|heartbeat/[^/]+|file=.+|info|openapi\.json"
    r"|user|token|login_check|app_id|startup-events|theme\.css|component_server"
)
#: For agents.
_API = r"mcp(/.*)?"

#: Elsewhere, what has no use here.
_CLOSED = re.compile(r"/(monitoring(/.*)?|svelte/.*|file/.*)$")

NOT_HERE = "There is no such thing here."


class Doors(Guard):
    """Middleware that answers 404 for what the page does not use.

    Parameters
    ----------
    app : ASGI application
        What answers.
    api : bool
        Whether programs and agents may call.
    """

    def __init__(self, app: ASGIApp, api: bool) -> None:
        super().__init__(app)
        inner = f"{_ALWAYS}|{_API}" if api else _ALWAYS
        self._open = re.compile(rf"{API_PREFIX}/(?:{inner})/?$")

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it pass."""
        if self._is_open(scope["path"]):
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 404, NOT_HERE)

    def _is_open(self, path: str) -> bool:
        # Gradio answers at any depth of slashes, and behind a proxy's prefix.
        at = path.find(API_PREFIX)
        if at < 0:
            return not _CLOSED.search(path)
        return self._open.match(path, at) is not None
