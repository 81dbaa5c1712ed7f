"""How large and how deep what is sent may be: judged before anything parses it."""

from __future__ import annotations

import re
from itertools import accumulate

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from tracache.ui.gate.answers import Guard, read, refuse, replay

#: Bytes of a request's body; what the page and its programs send is a few thousand.
MAX_BYTES = 1_000_000

#: Bytes of one that is too large which are taken in all the same, and not kept, so that whoever
#: sent it hears why it was refused. What is said to be larger is not listened to at all.
HEARD_BYTES = 8_000_000

#: Lists and mappings within one another; what the page and its programs send has about ten.
MAX_DEPTH = 64

TOO_LARGE = f"A request may hold {MAX_BYTES:,} bytes at most; this one is larger."
TOO_DEEP = f"A request's JSON may be {MAX_DEPTH} levels deep at most; this one is deeper."

#: Text in quotation marks, in which brackets mean nothing.
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPEN, _CLOSE = b"[{", b"]}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_OPEN + _CLOSE))


class Bodies(Guard):
    """Middleware that refuses bodies above :data:`MAX_BYTES` (413) and :data:`MAX_DEPTH` (400)."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it pass, as what has no body does."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "0")
        body = await read(receive, MAX_BYTES, HEARD_BYTES) if _is_heard(said) else None
        if body is None:
            await refuse(scope, receive, send, 413, TOO_LARGE)
        elif depth(body) > MAX_DEPTH:
            await refuse(scope, receive, send, 400, TOO_DEEP)
        else:
            await self._app(scope, replay(body, receive), send)


def _is_heard(content_length: str) -> bool:
    return content_length.isdecimal() and int(content_length) <= HEARD_BYTES


def depth(body: bytes) -> int:
    """How many brackets of a JSON text are open at once, at most."""
    brackets = _TEXT.sub(b"", body).translate(None, _NOT_BRACKETS)
    return max(accumulate(1 if b in _OPEN else -1 for b in brackets), default=0)
