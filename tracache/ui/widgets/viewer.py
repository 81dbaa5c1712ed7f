"""The viewer: pictures of the arms side by side, one over another, or their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from tracache.compare.arm import REFERENCE
from tracache.compare.arms import ARMS
from tracache.compare.report import ArmResult
from tracache.compare.request import Request
from tracache.compare.saving import arm_file
from tracache.compare.words import nearness_of
from tracache.media import VideoSize
from tracache.ui.job import Snapshot

_STATIC = files("tracache.ui.widgets")


def add_viewer(value: dict[str, Any] | None = None) -> gr.HTML:
    """Add a viewer; its value is what :func:`show_job` returns."""
    return gr.HTML(
        value,
        html_template=(_STATIC / "viewer.html").read_text("utf-8"),
        js_on_load=(_STATIC / "viewer.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="viewer",
    )


def file_url(file: Path) -> str:
    """Address of a file that the server gives out, relative to the page."""
    return f"gradio_api/file={file.as_posix()}"


def show_job(request: Request, now: Snapshot, previews: Mapping[str, str]) -> dict[str, Any]:
    """Return what the viewer shows of a job, finished or not.

    Parameters
    ----------
    request : Request
        What the job is for.
    now : Snapshot
        Its state.
    previews : mapping
        Small pictures of unfinished arms, as data URIs.
    """
    results = {result.arm: result for result in now.results}
    begun = [arm.arm for arm in now.progress.arms]
    size = request.size
    arms = []
    for arm in request.arms:
        shown: dict[str, Any] = {"id": arm, "title": ARMS[arm].title, "state": "waiting"}
        if arm in results:
            shown |= _finished(results[arm], request, now.files[arm])
        elif arm in begun and now.state == "running":
            shown |= {"state": "running", "preview": previews.get(arm, "")}
        elif arm in previews:
            shown |= {"state": "stopped", "preview": previews[arm], "note": "stopped here"}
        arms.append(shown)
    common: dict[str, Any] = {"arms": arms, "ratio": 1.0, "video": False}
    if isinstance(size, VideoSize):
        common |= {
            "video": True,
            "fps": size.fps,
            "frames": size.frames,
            "ratio": size.width / size.height,
        }
    return common


def _finished(result: ArmResult, request: Request, file: Path) -> dict[str, Any]:
    return {
        "state": "done",
        "src": file_url(file),
        "download": arm_file(result),
        "note": note(result),
        "alt": f"{request.prompt}, by {result.title}",
    }


def note(result: ArmResult) -> str:
    """Say in a few words how much of an arm computed and how near it came."""
    if result.arm == REFERENCE:
        return f"{result.num_steps} steps{', reused' if result.reused else ''}"
    steps = f"{result.full_steps} of {result.num_steps}" if result.skipped_steps else ""
    return f"{steps or result.num_steps} steps, {nearness_of(result)}"


def titles(arms: Sequence[str]) -> str:
    """Names of arms, for people."""
    return ", ".join(ARMS[arm].title for arm in arms)
