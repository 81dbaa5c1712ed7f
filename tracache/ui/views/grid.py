"""A sweep as a grid of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tracache.compare.arms import ARMS
from tracache.compare.report import ArmResult
from tracache.compare.words import nearness_of, work_of


@dataclass(frozen=True)
class SweepCell:
    """A cell of a sweep's grid; without a result it is still to come.

    Attributes
    ----------
    computed : int
        Its row: how many steps compute.
    arm : str
        Its column.
    job_id, source : str
        Where its comparison and its picture are.
    result : ArmResult or None
        What came of it.
    """

    computed: int
    arm: str
    job_id: str = ""
    source: str = ""
    result: ArmResult | None = None


def sweep_grid(cells: Sequence[SweepCell]) -> str:
    """Draw a sweep: a row for each number of computed steps, a column for each arm.

    The nearest of a row that is complete is marked.
    """
    rows_of: dict[int, list[SweepCell]] = {}
    for cell in cells:
        rows_of.setdefault(cell.computed, []).append(cell)
    first = next(iter(rows_of.values()))
    head = "".join(f'<th scope="col">{escape(ARMS[cell.arm].title)}</th>' for cell in first)
    rows = "".join(_row(computed, row) for computed, row in rows_of.items())
    return (
        '<div class="tc-scroll" tabindex="0" role="region" aria-label="The sweep">'
        f'<table class="tc-sweep"><thead><tr><td></td>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def nearest(row: Sequence[SweepCell]) -> SweepCell | None:
    """Return the cell of a row whose picture is nearest; None while one is still to come."""
    there = [(cell.result.psnr, cell) for cell in row if cell.result is not None]
    return max(there, key=lambda pair: pair[0])[1] if len(there) == len(row) else None


def _row(computed: int, row: Sequence[SweepCell]) -> str:
    best = nearest(row)
    cells = "".join(_cell(cell, cell is best) for cell in row)
    return f'<tr><th scope="row">{computed} <span class="tc-quiet">computed</span></th>{cells}</tr>'


def _cell(cell: SweepCell, best: bool) -> str:
    name = escape(ARMS[cell.arm].title)
    if cell.result is None:
        return f'<td data-name="{name}"><span class="tc-empty-cell"></span></td>'
    result = cell.result
    near, work = nearness_of(result), work_of(result)
    words = f"{result.title}, {cell.computed} computed: {near}, {work}"
    alt = escape(f"{words}, the nearest of its row" if best else words)
    picture = f'<img src="{escape(cell.source)}" alt="{alt}">'
    if result.frame_psnr:
        picture = (
            f'<video src="{escape(cell.source)}" aria-label="{alt}" muted playsinline loop '
            "autoplay></video>"
        )
    mark = '<span class="tc-mark">nearest</span>' if best else ""
    return (
        f'<td data-name="{name}"{" class=tc-best" if best else ""}>'
        f'<a href="./?run={escape(cell.job_id)}">{picture}'
        f"<span><b>{near}</b> {mark}</span>"
        f'<span class="tc-quiet">{work}</span></a></td>'
    )
