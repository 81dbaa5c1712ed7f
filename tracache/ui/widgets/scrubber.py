"""The scrubber: what each arm took the picture for at a step, and how far from the truth."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import gradio as gr

from tracache.compare.arm import REFERENCE
from tracache.compare.colours import GREY, arm_colours
from tracache.compare.course import COLUMNS, Course, describe_courses, parting
from tracache.compare.report import Report

_STATIC = files("tracache.ui.widgets")


def add_scrubber() -> gr.HTML:
    """Add a scrubber; its value is what :func:`show_courses` returns, or None."""
    return gr.HTML(
        None,
        html_template=(_STATIC / "scrubber.html").read_text("utf-8"),
        js_on_load=(_STATIC / "scrubber.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="scrubber",
    )


def show_courses(report: Report, sheets: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the courses of a report as the scrubber reads them; None where there are none.

    Parameters
    ----------
    report : Report
        Of a comparison that is over.
    sheets : mapping
        Arm → address of the pictures of its steps.
    """
    full = next((course for course in report.courses if course.arm == REFERENCE), None)
    others = [course for course in report.courses if course.arm != REFERENCE]
    if full is None or not others:
        return None
    colours = [GREY, *arm_colours([course.arm for course in others])]
    return {
        "said": describe_courses(report.courses),
        "timesteps": [f"{t:.6g}" for t in full.timesteps],
        # Where the first of them parts most: the step to look at.
        "start": parting(others[0]),
        "arms": [
            _arm(course, sheets[course.arm], colour)
            for course, colour in zip((full, *others), colours, strict=True)
        ],
        # Strips of the status, from above: what else ran has no course.
        "strips": [result.arm for result in report.arms],
    }


def _arm(course: Course, sheet: str, colour: str) -> dict[str, Any]:
    count = len(course.timesteps)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    width, height = course.sheet.size
    return {
        "id": course.arm,
        "title": course.title,
        "colour": colour,
        "sheet": sheet,
        "columns": columns,
        "rows": rows,
        "ratio": (width / columns) / (height / rows),
        "steps": list(course.steps),
        "computed": list(course.computed),
        "distances": [float(f"{d:.4g}") for d in course.distances],
    }
