"""What the page is made of: answered from memory, and asked for before it is needed.

Gradio's frontend is some eighty small files, each of which names the next ones, so that a browser
asks for them in four waves. They never change while a server lives. Whoever comes first shows which
of them a page takes to open; whoever comes later is told at once, in the page's head.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracache.ui.gate.answers import Guard

#: For files whose names end in a hash of what they hold: a browser need not ask again.
_FOR_GOOD = "private, max-age=31536000, immutable"
_HASHED = re.compile(r"-[\w-]{8,9}\.(?:js|css)$")

#: Kept at most, bytes; there are some 10 MB in all, of which a page takes a tenth.
_MOST = 32_000_000
#: A larger file is no part of opening a page: what draws figures, say.
_SMALL = 100_000
#: Hints at most.
_HINTS = 128

_ASSET = re.compile(r"/(assets/[\w./-]+\.(?:js|css))$")
#: The page that most visitors open, and so the one that most of the files asked for are of.
FRONT = "/"
#: What a page begins with.
_ENTRY = re.compile(r'<script type="module"[^>]* src="\./(assets/[^"]+)"></script>')

#: These ask for something special of a file, so that an answer is for nobody else.
_SPECIAL = ("range", "if-none-match", "if-modified-since")


@dataclass(frozen=True)
class Kept:
    """A file as it is sent.

    Attributes
    ----------
    headers : list of (bytes, bytes)
        Of its answer.
    body, small : bytes
        Plain, and compressed.
    """

    headers: list[tuple[bytes, bytes]]
    body: bytes
    small: bytes

    async def send(self, send: Send, compressed: bool) -> None:
        """Answer with it."""
        headers = MutableHeaders(raw=list(self.headers))
        body = self.small if compressed else self.body
        headers["Content-Length"] = str(len(body))
        headers.add_vary_header("Accept-Encoding")
        if compressed:
            headers["Content-Encoding"] = "br"
        await send({"type": "http.response.start", "status": 200, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})


class Frontend:
    """Files of the frontend, and how often each was asked for, as a server has seen it."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._size = 0
        self._asked: Counter[str] = Counter()

    def find(self, name: str) -> Kept | None:
        """Return a file, if it is kept, and count that it was asked for."""
        kept = self._kept.get(name)
        if kept is not None:
            self._asked[name] += 1
        return kept

    def keep(self, name: str, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Keep a file, where there is room."""
        small = brotli.compress(body, quality=9)
        if self._size + len(body) + len(small) <= _MOST and name not in self._kept:
            self._size += len(body) + len(small)
            self._kept[name] = Kept(headers, body, small)
            self._asked[name] += 1

    def needed(self, entry: str) -> list[str]:
        """Return what most of those asked for who came without any of it, in that order.

        Parameters
        ----------
        entry : str
            The file that a page begins with; whoever has some in store has this one.
        """
        often = self._asked[entry]
        return [
            name
            for name, kept in self._kept.items()
            if name != entry and 2 * self._asked[name] >= often and len(kept.small) <= _SMALL
        ][:_HINTS]


class Assets(Guard):
    """Middleware that keeps the frontend's files in memory.

    Parameters
    ----------
    app : ASGI application
        What answers the first time.
    frontend : Frontend
        Where they are kept.
    """

    def __init__(self, app: ASGIApp, frontend: Frontend) -> None:
        super().__init__(app)
        self._frontend = frontend

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or keep the answer."""
        asset, headers = _ASSET.search(scope["path"]), Headers(scope=scope)
        if asset is None or scope["method"] != "GET" or any(h in headers for h in _SPECIAL):
            await self._app(scope, receive, send)
            return
        name = asset[1]
        kept = self._frontend.find(name)
        if kept is not None:
            await kept.send(send, _takes_brotli(headers))
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
                    self._frontend.keep(name, found, b"".join(parts))
            await send(message)

        await self._app(scope, receive, note)


class Pages(Guard):
    """Middleware that says in a page's head what it will need, and compresses it.

    Parameters
    ----------
    app : ASGI application
        What answers.
    frontend : Frontend
        Knows what is needed.
    """

    def __init__(self, app: ASGIApp, frontend: Frontend) -> None:
        super().__init__(app)
        self._frontend = frontend

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and change its answer if that is a page."""
        page: list[Message] = []

        async def change(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                page.append(message)
            elif page:
                page.append(message)
                if not message.get("more_body", False):
                    await self._send(page, scope, send)
            else:
                await send(message)

        await self._app(scope, receive, change)

    async def _send(self, page: list[Message], scope: Scope, send: Send) -> None:
        start, body = page[0], b"".join(part.get("body", b"") for part in page[1:])
        if scope["path"] == FRONT:
            body = self._hint(body)
        headers = MutableHeaders(raw=list(start["headers"]))
        if _takes_brotli(Headers(scope=scope)):
            body = brotli.compress(body, quality=4)
            headers["Content-Encoding"] = "br"
        headers["Content-Length"] = str(len(body))
        headers.add_vary_header("Accept-Encoding")
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})

    def _hint(self, body: bytes) -> bytes:
        text = body.decode("utf-8", "replace")
        entry = _ENTRY.search(text)
        if entry is None:
            return body
        # Behind the entry, which everything waits for.
        hints = "".join(map(_link, self._frontend.needed(entry[1])))
        return (text[: entry.end()] + hints + text[entry.end() :]).encode()


def _link(name: str) -> str:
    # Scripts of modules are asked for as across origins, and a hint has to say so too.
    kind = 'rel="modulepreload"' if name.endswith(".js") else 'rel="preload" as="style"'
    return f'<link {kind} crossorigin fetchpriority="low" href="./{escape(name)}">'


def _is_page(start: Any) -> bool:
    headers = Headers(raw=start["headers"])
    html = headers.get("content-type", "").startswith("text/html")
    return html and "content-encoding" not in headers


def _takes_brotli(headers: Headers) -> bool:
    named = (part.split(";")[0].strip() for part in headers.get("accept-encoding", "").split(","))
    return "br" in named
