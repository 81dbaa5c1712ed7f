"""Who an event is for, wherever in its handling that is asked."""

from __future__ import annotations

from gradio.context import LocalContext


def address_of_visitor() -> str:
    """Return the address of whoever is being answered; empty outside of any answer."""
    request = LocalContext.request.get(None)
    client = getattr(request, "client", None)
    return str(client.host) if client else ""
