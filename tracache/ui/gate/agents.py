"""Agents: Gradio answers their calls by calling itself.

So it is told by whom it was called, and knows the password itself.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from gradio.route_utils import API_PREFIX
from gradio_client import Client
from starlette.datastructures import MutableHeaders
from starlette.types import Receive, Scope, Send

from tracache.ui.gate.answers import Guard, address_of


class Agents(Guard):
    """Middleware that notes an agent's address among its headers, which go along with its calls."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note it, and let the request pass."""
        if f"{API_PREFIX}/mcp" in scope["path"]:
            MutableHeaders(scope=scope)["x-forwarded-for"] = address_of(scope)
        await self._app(scope, receive, send)


def let_agents_in(
    auth: tuple[str, str] | None,
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan of Gradio's app in which its own calls for agents know the password.

    Parameters
    ----------
    auth : tuple of (str, str) or None
        User and password of the page.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        server = app.get_blocks().mcp_server_obj
        if server is not None and auth is not None:
            server._get_or_create_client = partial(_client, server, auth)
        yield

    return lifespan


def _client(server: Any, auth: tuple[str, str]) -> Client:
    """As Gradio's, which is asked by agents that have shown their password already."""
    if server._client_instance is None:
        said = base64.b64encode(":".join(auth).encode()).decode()
        server._client_instance = Client(
            server.local_url,
            download_files=False,
            verbose=False,
            analytics_enabled=False,
            _skip_components=False,
            headers={"x-gradio-user": "mcp", "authorization": f"Basic {said}"},
        )
    return server._client_instance
