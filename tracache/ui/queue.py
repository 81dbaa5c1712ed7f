"""Whose turn it is: nobody may fill the queue alone."""

from __future__ import annotations

from typing import Any

import gradio as gr

#: What all that needs the device waits for, by Gradio's name of a queue.
RUN = "run"

#: How many of a session's requests may wait at once, besides the one that runs.
SHARE = 2

TOO_MANY = "You have {waiting} requests waiting already; send more when they are done."
PROGRAMS_TOO_MANY = (
    "Programs without a session have {waiting} requests waiting, which is their half of the queue; "
    "try again later, or send a session_hash along."
)


def limit_share(page: gr.Blocks) -> None:
    """Refuse a session more than its share of the queue, with status 503 and a message.

    Programs may leave out the session, so those that do are taken together: they have half of the
    queue. For a page that has its queue already.

    Parameters
    ----------
    page : Blocks
        After its ``queue()``.
    """
    # Gradio knows no such limit, and has no hook before the queue that knows the session.
    waiting_line = page._queue
    push = waiting_line.push
    half = max(1, (waiting_line.max_size or 32) // 2)

    async def push_if_fair(body: Any, request: Any, username: str | None) -> Any:
        line = waiting_line.event_queue_per_concurrency_id.get(RUN)
        if line is not None and body.fn_index is not None and _waits(page, body.fn_index):
            if body.session_hash is None:
                # Those have their own name for a session.
                waiting = sum(event.session_hash == event._id for event in line.queue)
                most, message = half, PROGRAMS_TOO_MANY
            else:
                waiting = sum(event.session_hash == body.session_hash for event in line.queue)
                most, message = SHARE, TOO_MANY
            if waiting >= most:
                return False, message.format(waiting=waiting), "queue_full"
        return await push(body=body, request=request, username=username)

    waiting_line.push = push_if_fair  # type: ignore[method-assign]


def _waits(page: gr.Blocks, fn_index: int) -> bool:
    function = page.fns.get(fn_index)
    return function is not None and function.concurrency_id == RUN
