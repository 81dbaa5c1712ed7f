"""A sweep as a grid of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tracache.compare.arms import ARMS
from tracache.compare.report import ArmResult
from tracache.compare.words import (
    nearness_of,
    work_of,
)


@dataclass(frozen=True)
class SweepCell:
    """A cell of a sweep's grid; without a result it is still to come.

    Attributes
    ----------
    stride : int
        Its row.
    order : int or None
        Its column, of the published method's; None is another arm's.
    arm : str
        What it shows.
    computed : int
        Steps that compute in its row.
    job_id, source : str
        Where its comparison and its picture are.
    result : ArmResult or None
        What came of it.
    """

    stride: int
    order: int | None
    arm: str
    computed: int
    job_id: str = ""
    source: str = ""
    result: ArmResult | None = None


def sweep_grid(cells: Sequence[SweepCell]) -> str:
    """Draw a sweep: a row for each stride, a column for each order, then the other arms."""
    rows_of: dict[int, list[SweepCell]] = {}
    for cell in cells:
        rows_of.setdefault(cell.stride, []).append(cell)
    first = next(iter(rows_of.values()))
    head = "".join(f'<th scope="col">{escape(_column(cell))}</th>' for cell in first)
    rows = "".join(
        f'<tr><th scope="row">stride {stride}<br><span class="tc-quiet">{row[0].computed} computed'
        f"</span></th>{''.join(map(_sweep_cell, row))}</tr>"
        for stride, row in rows_of.items()
    )
    return (
        '<div class="tc-scroll" tabindex="0" role="region" aria-label="The sweep">'
        f'<table class="tc-sweep"><thead><tr><td></td>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _column(cell: SweepCell) -> str:
    return ARMS[cell.arm].title if cell.order is None else f"order ≤ {cell.order}"


def _sweep_cell(cell: SweepCell) -> str:
    if cell.result is None:
        return '<td><span class="tc-empty-cell"></span></td>'
    result = cell.result
    words = f"{work_of(result)}, {nearness_of(result)}"
    alt = f"{result.title}: {words}"
    picture = f'<img src="{escape(cell.source)}" alt="{escape(alt)}">'
    if result.frame_psnr:
        picture = (
            f'<video src="{escape(cell.source)}" aria-label="{escape(alt)}" muted playsinline loop '
            "autoplay></video>"
        )
    return f'<td><a href="./?run={escape(cell.job_id)}">{picture}<span>{words}</span></a></td>'
