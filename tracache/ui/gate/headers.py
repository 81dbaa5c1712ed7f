"""What browsers may do with the page: nothing but what it brings along itself."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = {
    "default-src": "'self'",
    # Gradio's page holds scripts, makes functions of its components' and styles what it shows.
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "connect-src": "'self' data: blob:",
    "form-action": "'self'",
    "base-uri": "'self'",
    "object-src": "'none'",
    # A Space is shown within Hugging Face's page; nobody else may frame this one.
    "frame-ancestors": "'self' https://huggingface.co https://*.hf.space",
}

HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    # Addresses hold prompts and ids of runs.
    "Referrer-Policy": "same-origin",
}


class SecureHeaders:
    """Middleware that adds :data:`HEADERS` to every answer that has none of its own.

    Parameters
    ----------
    app : ASGI application
        What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything but HTTP passes as it is."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)
