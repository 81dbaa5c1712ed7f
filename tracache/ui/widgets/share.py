"""What a visitor takes along: a link, a script, a command, an archive."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from tracache.compare.request import Request
from tracache.compare.serialise import given_of, to_command, to_python, to_query
from tracache.ui.job import Job, Snapshot
from tracache.ui.widgets.viewer import file_url

_STATIC = files("tracache.ui.widgets")


def add_share() -> gr.HTML:
    """Add the row of buttons; its value is what :func:`share_job` returns."""
    return gr.HTML(
        None,
        html_template=(_STATIC / "share.html").read_text("utf-8"),
        js_on_load=(_STATIC / "share.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="share",
    )


def share_job(job: Job, now: Snapshot, token: str = "") -> dict[str, Any]:
    """Return what can be taken along of a job: all but the archive as soon as it has begun.

    Parameters
    ----------
    job : Job
        The job.
    now : Snapshot
        Its state.
    token : str, default ""
        The job's, for the page of whoever began it: kept by the browser and put in no link, it
        lets them stop the job after the page was loaded again.
    """
    archive = file_url(now.archive) if now.archive is not None else ""
    return {"run": job.id, "archive": archive, "token": token, **share_request(job.request)}


def share_request(request: Request) -> dict[str, str]:
    """Return a request as link, script and command."""
    given = given_of(request)
    try:
        command = to_command(given)
    except ValueError as error:
        command = f"# {error}"
    return {"recipe": to_query(given), "python": to_python(given), "command": command}
