"""What the page is made of: its files from memory, and all of it compressed.

Gradio's frontend is some eighty small files, which never change while a server lives. Read from the
disk and compressed anew for each visitor, they take the server a fifth of a second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracache.ui.gate.answers import Guard

#: Kept at most, bytes; there are some 10 MB in all, of which a page takes a tenth.
_MOST = 32_000_000

_ASSET = re.compile(r"/(assets/[\w./-]+\.(?:js|css))$")

#: For files whose names end in a hash of what they hold: a browser need not ask again.
_FOR_GOOD = "private, max-age=31536000, immutable"
_HASHED = re.compile(r"-[\w-]{8,9}\.(?:js|css)$")

#: These ask for something special of a file, so that an answer is for nobody else.
_SPECIAL = ("range", "if-none-match", "if-modified-since")


@dataclass(frozen=True)
class _Kept:
    """A file as it is sent: the headers of its answer, its body, and the body compressed."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    small: bytes


class Assets(Guard):
    """Middleware that keeps the frontend's files in memory.

    Parameters
    ----------
    app : ASGI application
        What answers the first time.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._kept: dict[str, _Kept] = {}
        self._size = 0

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or keep the answer."""
        asset, asked = _ASSET.search(scope["path"]), Headers(scope=scope)
        if asset is None or scope["method"] != "GET" or any(h in asked for h in _SPECIAL):
            await self._app(scope, receive, send)
            return
        name = asset[1]
        if (kept := self._kept.get(name)) is not None:
            small = _takes_brotli(asked)
            await _send(200, kept.headers, kept.small if small else kept.body, small, send)
            return
        found: list[tuple[bytes, bytes]] | None = None
        parts: list[bytes] = []

        async def note(message: Message) -> None:
            # What is noted are copies, since whoever compresses on the way out writes into these.
            nonlocal found
            if message["type"] == "http.response.start":
                said = MutableHeaders(raw=list(message["headers"]))
                if message["status"] == 200:
                    if _HASHED.search(name):
                        said["Cache-Control"] = _FOR_GOOD
                    found = None if "content-encoding" in said else list(said.raw)
                message = {**message, "headers": said.raw}
            else:
                parts.append(message.get("body", b""))
                if found is not None and not message.get("more_body", False):
                    self._keep(name, found, b"".join(parts))
            await send(message)

        await self._app(scope, receive, note)

    def _keep(self, name: str, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        small = brotli.compress(body, quality=9)
        if name not in self._kept and self._size + len(body) + len(small) <= _MOST:
            self._size += len(body) + len(small)
            self._kept[name] = _Kept(headers, body, small)


class Pages(Guard):
    """Middleware that compresses pages, which hold the whole of their own description."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and compress its answer if that is a page."""
        if not _takes_brotli(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        page: list[Message] = []

        async def change(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                page.append(message)
            elif page:
                page.append(message)
                if not message.get("more_body", False):
                    start, *parts = page
                    body = b"".join(part.get("body", b"") for part in parts)
                    small = brotli.compress(body, quality=4)
                    await _send(start["status"], start["headers"], small, True, send)
            else:
                await send(message)

        await self._app(scope, receive, change)


async def _send(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, compressed: bool, send: Send
) -> None:
    said = MutableHeaders(raw=list(headers))
    said["Content-Length"] = str(len(body))
    said.add_vary_header("Accept-Encoding")
    if compressed:
        said["Content-Encoding"] = "br"
    await send({"type": "http.response.start", "status": status, "headers": said.raw})
    await send({"type": "http.response.body", "body": body})


def _is_page(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    html = headers.get("content-type", "").startswith("text/html")
    return html and "content-encoding" not in headers


def _takes_brotli(headers: Headers) -> bool:
    named = (part.split(";")[0].strip() for part in headers.get("accept-encoding", "").split(","))
    return "br" in named
