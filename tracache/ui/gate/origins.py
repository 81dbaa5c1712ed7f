"""Whose pages may call this one, and under which name: its own.

A browser sends a visitor's cookies along with whatever another website asks of this one, and lets
that website read the answer where the server says so; and a website may give itself the address of
the visitor's own machine. Both are told by two headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, refuse

#: Names of the machine itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

#: A host that listens on all its addresses may have any name.
ANYWHERE = ("0.0.0.0", "::", "")

#: Where it is asked whether it is well.
HEALTH = ("/healthz", "/readyz")

FOREIGN_HOST = (
    "This page is not served under the name {name!r}. If it should be, whoever runs it sets "
    "TRACACHE_HOSTS={name}."
)
FOREIGN_ORIGIN = (
    "Another website, {name!r}, asked for this; only this page's own may. If it is this page "
    "behind a proxy, whoever runs it sets TRACACHE_HOSTS={name}."
)


class Origins(Guard):
    """Middleware that refuses other names (421) and other websites (403).

    Parameters
    ----------
    app : ASGI application
        What answers.
    listens : str
        The address that the server listens on.
    allowed : sequence of str
        Names by which the page is known, if not by that; none is any where the server listens on
        all its addresses.
    """

    def __init__(self, app: ASGIApp, listens: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(app)
        self._named = tuple(name.lower() for name in allowed)
        self._any = listens in ANYWHERE and not allowed
        self._known = {*self._named, *LOOPBACK, listens.lower()}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it pass."""
        # Those who look after a server ask it by whatever address it has.
        if scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        name = name_of(f"//{host}")
        if not self._any and name not in self._known:
            await refuse(scope, receive, send, 421, FOREIGN_HOST.format(name=name[:80]))
        elif origin is not None and not self._is_ours(origin, host):
            why = FOREIGN_ORIGIN.format(name=(name_of(origin) or origin)[:80])
            await refuse(scope, receive, send, 403, why)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page of that origin is this page: the same name and port, or a known name."""
        if name_of(origin) in self._named:
            return True
        scheme, _, rest = origin.partition("://")
        port = {"http": ":80", "https": ":443"}.get(scheme, "")
        # Behind a proxy that ends TLS, the port of the page's own address is not this server's.
        return rest.lower().removesuffix(port) == host.lower().removesuffix(port)


def name_of(address: str) -> str:
    """Return the host of an address, without its port; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
