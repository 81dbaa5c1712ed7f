"""Whose turn it is: nobody may fill the queue alone, by whatever names they go."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.data_classes import PredictBody, SimplePredictBody
from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracache.ui.gate.answers import Guard, address_of, read, refuse, replay
from tracache.ui.gate.bodies import MAX_BYTES

#: What all that needs the device waits for, by Gradio's name of a queue.
RUN = "run"

#: How many of a session's requests may wait at once, besides the one that runs.
SHARE = 2

TOO_MANY = "You have {waiting} requests waiting already; send more when they are done."
PROGRAMS_TOO_MANY = (
    "Programs without a session have {waiting} requests waiting, which is their half of the queue; "
    "try again later, or send a session_hash along."
)
ADDRESS_TOO_MANY = (
    "Your address has {waiting} requests waiting, which is half of the queue and all that one may "
    "have; send more when they are done."
)

#: Ways into the queue: by the number of a function, or by its name, with or without a session.
_DOORS = re.compile(rf"{API_PREFIX}/(?:queue/join|call/(?P<v2>v2/)?(?P<name>[^/]+))/?$")


class FairShare(Guard):
    """Middleware that refuses a session more than its share of the queue: status 503, a message.

    A session is a name that whoever calls makes up, so an address has a share too: half of the
    queue. Programs may leave the session out, and agents are all called by one; those are taken
    together, and have half of the queue among them. Gradio knows no such limit itself.

    Parameters
    ----------
    app : ASGI application
        Gradio's, with its queue.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        # Between the count and the new place in the queue nobody else may come in.
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a call, or let it pass, as what does not join the queue does."""
        door = _DOORS.search(scope["path"])
        if not door or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await read(receive, MAX_BYTES) or b""
        page: gr.Blocks = scope["app"].get_blocks()
        session = _session(page, door, body)
        again = replay(body, receive)
        if session is None:
            await self._app(scope, again, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        async with self._one_at_a_time:
            refusal = _refusal(page, scope, session)
            if refusal is None:
                await self._app(scope, again, keep)
        # Sent when others may come in again: it takes as long as whoever hears it likes.
        if refusal is not None:
            await refuse(scope, receive, send, 503, refusal)
        for message in answer:
            await send(message)


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


def _refusal(page: gr.Blocks, scope: Scope, session: str) -> str | None:
    """Say why a call may not come in; None where it may."""
    queue: Any = page._queue
    line = queue.event_queue_per_concurrency_id.get(RUN)
    waiting = line.queue if line is not None else []
    half = max(1, (queue.max_size or 32) // 2)
    address = address_of(scope)
    mine = [event for event in waiting if _address(event) == address]
    if not session or _is_agent(Headers(scope=scope)):
        programs = [e for e in waiting if e.session_hash == e._id or _is_agent(e.request.headers)]
        if len(programs) >= half:
            return PROGRAMS_TOO_MANY.format(waiting=len(programs))
    else:
        own = [event for event in mine if event.session_hash == session]
        if len(own) >= SHARE:
            return TOO_MANY.format(waiting=len(own))
    return ADDRESS_TOO_MANY.format(waiting=len(mine)) if len(mine) >= half else None


def _address(event: Any) -> str:
    return event.request.client.host if event.request.client else ""


def _is_agent(headers: Mapping[str, str]) -> bool:
    """Whether a call is Gradio's own, for an agent: all of them share one session."""
    return headers.get("x-gradio-user") == "mcp"
