"""Whose turn it is: nobody may fill the queue alone."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import gradio as gr
from gradio.data_classes import PredictBody, SimplePredictBody
from gradio.route_utils import API_PREFIX
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What all that needs the device waits for, by Gradio's name of a queue.
RUN = "run"

#: How many of a session's requests may wait at once, besides the one that runs.
SHARE = 2

#: Bytes of a call; what the page and its programs send is a few thousand.
MAX_BYTES = 1_000_000

TOO_MANY = "You have {waiting} requests waiting already; send more when they are done."
PROGRAMS_TOO_MANY = (
    "Programs without a session have {waiting} requests waiting, which is their half of the queue; "
    "try again later, or send a session_hash along."
)
TOO_LARGE = f"A request may hold {MAX_BYTES:,} bytes at most; this one is larger."

#: Ways into the queue: by the number of a function, or by its name, with or without a session.
_DOORS = re.compile(rf"{API_PREFIX}/(?:queue/join|call/(?P<v2>v2/)?(?P<name>[^/]+))/?$")


class FairShare:
    """Middleware that refuses a session more than its share of the queue: status 503, a message.

    Programs may leave out the session, so those that do are taken together: they have half of the
    queue. Gradio knows no such limit itself.

    Parameters
    ----------
    app : ASGI application
        Gradio's, with its queue.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Between the count and the new place in the queue nobody else may come in.
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what does not join the queue passes as it is."""
        door = scope["type"] == "http" and _DOORS.search(scope["path"])
        if not door or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            await JSONResponse({"detail": TOO_LARGE}, 413)(scope, receive, send)
            return
        page: gr.Blocks = scope["app"].get_blocks()
        session = _session(page, door, body)
        again = _replay(body, receive)
        if session is None:
            await self._app(scope, again, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        async with self._one_at_a_time:
            refusal = _refusal(page, session)
            if refusal is None:
                await self._app(scope, again, keep)
        # Sent when others may come in again: it takes as long as whoever hears it likes.
        if refusal is not None:
            await JSONResponse({"detail": refusal}, 503)(scope, receive, send)
        for message in answer:
            await send(message)


async def _read(receive: Receive) -> bytes | None:
    """Return a request's body, or None where it is too large or never came whole."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BYTES or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read once more, and then whatever else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _session(page: gr.Blocks, door: re.Match[str], body: bytes) -> str | None:
    """Return the session of a call that will wait for the device, empty if it has none.

    None for all other calls, and for those that make no sense: Gradio says so itself.
    """
    session: str | None = ""
    name, number = door["name"], None
    try:
        # As Gradio reads it, so that what is counted here is what waits there.
        if name is None:
            call = PredictBody.model_validate(json.loads(body))
            session, number = call.session_hash, call.fn_index
        elif not door["v2"]:
            session = SimplePredictBody.model_validate(json.loads(body)).session_hash
    except (ValueError, RecursionError):
        return None
    functions = page.fns.values()
    waits = any(
        f.concurrency_id == RUN and (f._id == number if name is None else f.api_name == name)
        for f in functions
    )
    return (session or "") if waits else None


def _refusal(page: gr.Blocks, session: str) -> str | None:
    """Say why a session may not come in; None where it may."""
    queue: Any = page._queue
    line = queue.event_queue_per_concurrency_id.get(RUN)
    waiting = 0
    if line is not None:
        # Those without a session have their own name for one.
        waiting = sum(event.session_hash == (session or event._id) for event in line.queue)
    half = max(1, (queue.max_size or 32) // 2)
    most, message = (SHARE, TOO_MANY) if session else (half, PROGRAMS_TOO_MANY)
    return message.format(waiting=waiting) if waiting >= most else None
