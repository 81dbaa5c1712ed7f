"""What those who look after a server ask it: whether it lives, and whether it can work."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def health_routes(why_not_ready: Callable[[], str]) -> list[Route]:
    """Return ``/healthz`` and ``/readyz``.

    Parameters
    ----------
    why_not_ready : callable
        Says why no run could be begun now; empty where one could.
    """

    async def lives(request: Request) -> PlainTextResponse:
        # In the event loop itself, which is what has to answer.
        return PlainTextResponse("ok")

    def ready(request: Request) -> PlainTextResponse:
        why = why_not_ready()
        return PlainTextResponse(why or "ready", 503 if why else 200)

    return [Route("/healthz", lives), Route("/readyz", ready)]
