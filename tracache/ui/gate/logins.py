"""Who may come in, where the page has a password: by its log-in, or by Basic credentials.

Gradio asks for a log-in at its ordinary doors alone. Here everything below its prefix is shut to
those who have none, agents' doors among them; programs send ``Authorization: Basic`` with every
request; and whoever guesses is made to wait.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections import OrderedDict, deque
from http.cookies import CookieError, SimpleCookie
from typing import Any

from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, address_of, refuse

#: Wrong passwords that an address may send within so many seconds.
GUESSES, WITHIN_S = 10, 60.0

#: Addresses that are remembered.
_REMEMBERED = 10_000

#: What the page of the log-in itself asks for, and the server as it starts.
_OPEN = re.compile(rf"{API_PREFIX}/(user|token|login_check|app_id|startup-events|theme\.css)/?$")
_LOGIN = re.compile(r"/login/?$")

WAIT = "Too many wrong passwords from your address: wait {seconds} seconds."
UNKNOWN = (
    "This page has a password: log in, or send it with each request as Basic credentials "
    "(Authorization: Basic, user:password in base64)."
)


class Logins(Guard):
    """Middleware that lets in those who know the password.

    Parameters
    ----------
    app : ASGI application
        Gradio's.
    auth : tuple of (str, str) or None
        User and password; None lets everybody in.
    framed : bool
        Whether another site's page shows this one in a frame, as a Space's does: then alone its
        cookie goes along with what that site asks for.
    """

    def __init__(self, app: ASGIApp, auth: tuple[str, str] | None, framed: bool = False) -> None:
        super().__init__(app)
        self._user = auth[0] if auth else ""
        self._wanted = ":".join(auth).encode() if auth else None
        self._framed = framed
        #: What those with Basic credentials are taken for, as if they had logged in.
        self._pass = secrets.token_urlsafe(24)
        self._guesses = Guesses()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it pass, as all does where there is no password."""
        if self._wanted is None:
            await self._app(scope, receive, send)
            return
        address = address_of(scope)
        given = Headers(scope=scope).get("authorization", "")
        login = bool(_LOGIN.search(scope["path"])) and scope["method"] == "POST"
        basic = given.lower().startswith("basic ")
        if (login or basic) and (seconds := self._guesses.wait(address)):
            why = WAIT.format(seconds=seconds)
            await refuse(scope, receive, send, 429, why, retry_after=str(seconds))
            return
        if basic and not self._let_in(scope, given):
            self._guesses.note(address)
            await _ask(scope, receive, send)
            return
        inside = scope["path"].find(API_PREFIX) >= 0 and not _OPEN.search(scope["path"])
        if inside and not _has_logged_in(scope):
            await _ask(scope, receive, send)
            return

        async def watch(message: Message) -> None:
            if login and message["type"] == "http.response.start":
                if message["status"] == 400:
                    self._guesses.note(address)
                if not self._framed:
                    _keep_cookies_here(message)
            await send(message)

        await self._app(scope, receive, watch)

    def _let_in(self, scope: Scope, given: str) -> bool:
        """Give who has the right credentials the cookie of a log-in; say whether they are right."""
        try:
            said = base64.b64decode(given[6:].strip(), validate=True)
        except ValueError:
            return False
        assert self._wanted is not None
        if not secrets.compare_digest(said, self._wanted):
            return False
        app: Any = scope["app"]
        app.tokens[self._pass] = self._user
        cookie = f"access-token-unsecure-{app.cookie_id}={self._pass}"
        MutableHeaders(scope=scope)["cookie"] = cookie
        return True


class Guesses:
    """Wrong passwords by address."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> None:
        """Count a wrong one."""
        times = self._of.setdefault(address, deque(maxlen=GUESSES))
        times.append(time.monotonic())
        self._of.move_to_end(address)
        if len(self._of) > _REMEMBERED:
            self._of.popitem(last=False)

    def wait(self, address: str) -> int:
        """Return for how many seconds nothing more is heard from there; nought if it is heard."""
        times = self._of.get(address)
        if times is None or len(times) < GUESSES:
            return 0
        return max(0, round(times[0] + WITHIN_S - time.monotonic()))


def _has_logged_in(scope: Scope) -> bool:
    """Whether a request has the cookie of a log-in, as Gradio gave it."""
    app: Any = scope["app"]
    try:
        cookies = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return False
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(name in cookies and cookies[name].value in app.tokens for name in names)


def _keep_cookies_here(message: Message) -> None:
    """Let a log-in's cookies go along with this page's own requests alone."""

    def lax(name: bytes, value: bytes) -> bytes:
        is_cookie = name.lower() == b"set-cookie"
        return re.sub(rb"(?i)samesite=none", b"SameSite=lax", value) if is_cookie else value

    message["headers"] = [(name, lax(name, value)) for name, value in message["headers"]]


async def _ask(scope: Scope, receive: Receive, send: Send) -> None:
    # A browser that is told so opens a box of its own over the page's log-in.
    program = "authorization" in Headers(scope=scope) or "/mcp" in scope["path"]
    told = {"www_authenticate": 'Basic realm="TraCache"'} if program else {}
    await refuse(scope, receive, send, 401, UNKNOWN, **told)
