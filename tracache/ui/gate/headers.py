"""What browsers may do with the page: nothing but what it brings along itself."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from tracache.ui.gate.answers import Guard

_POLICY = {
    "default-src": "'self'",
    # Gradio makes functions of what its HTML components bring as text. The scripts within its
    # pages are named by their hashes; no other may run.
    "script-src": "'self' 'unsafe-eval'",
    # It also styles what it shows by attributes, which have no hashes.
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
    "X-Content-Type-Options": "nosniff",
    # Addresses hold prompts and ids of runs.
    "Referrer-Policy": "same-origin",
}

#: A script that stands in the page itself.
_INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


def policy(scripts: Iterable[bytes] = ()) -> str:
    """Return the Content-Security-Policy of a page.

    Parameters
    ----------
    scripts : iterable of bytes
        What stands between its script tags.
    """
    hashes = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in scripts]
    allowed = " ".join([_POLICY["script-src"], *(f"'sha256-{text}'" for text in hashes)])
    rules = {**_POLICY, "script-src": allowed}
    return "; ".join(f"{name} {value}" for name, value in rules.items())


class SecureHeaders(Guard):
    """Middleware that adds :data:`HEADERS` and a policy to each answer without its own."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and add to its answer."""
        page: list[Message] = []

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    # Its scripts have to be seen before the policy can be said.
                    page.append(message)
                    return
                headers.setdefault("Content-Security-Policy", policy())
            elif page and message["type"] == "http.response.body":
                page.append(message)
                if message.get("more_body", False):
                    return
                text = b"".join(part.get("body", b"") for part in page[1:])
                MutableHeaders(scope=page[0]).setdefault(
                    "Content-Security-Policy", policy(_INLINE.findall(text))
                )
                for part in page:
                    await send(part)
                page.clear()
                return
            await send(message)

        await self._app(scope, receive, add)
