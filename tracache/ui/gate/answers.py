"""What all of the gate has in common: how it passes a request on, reads it, and refuses it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Guard(ABC):
    """A middleware of HTTP; anything else passes as it is.

    Parameters
    ----------
    app : ASGI application
        What answers to those who pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it pass."""
        if scope["type"] == "http":
            await self.answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @abstractmethod
    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of HTTP, or let it pass."""


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, why: str, **headers: str
) -> None:
    """Answer a request in place of the page, in the form that Gradio's own refusals have."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    await JSONResponse({"detail": why}, status, named)(scope, receive, send)


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from.

    That of the visitor: behind a proxy that is trusted (``TRACACHE_PROXIES``) the server has put
    what the proxy says in place of the proxy's own.
    """
    client = scope.get("client")
    return str(client[0]) if client else ""


def replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read once more, and then whatever else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def read(receive: Receive, most: int, heard: int = 0) -> bytes | None:
    """Return a request's body, or None where it is larger than that or never came whole.

    Parameters
    ----------
    receive : callable
        Of the request.
    most : int
        Bytes that are kept.
    heard : int, default 0
        Bytes that are taken from whoever sends more, and thrown away: who is cut off in the middle
        of sending does not hear why.
    """
    body, size = bytearray(), 0
    while True:
        message: Any = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            body += part
        if size > max(most, heard) or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return bytes(body) if size <= most else None
