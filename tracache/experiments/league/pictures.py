"""Small pictures of a league: for each number of steps one sheet, a row for everybody in a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tracache.experiments.records import Records
from tracache.experiments.subjects import every_nth
from tracache.experiments.summary import thumbnail

#: Pixels of a picture's side, and how well it is kept.
SIDE, QUALITY = 64, 40

#: Rows that a sheet may have; WebP ends at 16,383 pixels.
MAX_ROWS = 255


def shown_prompts(count: int, pictures: int) -> list[int]:
    """Return the prompts that are shown of so many, from all over."""
    return [int(i) for i in every_nth(range(count), min(count, pictures))]


def write_sheet(
    records: Records,
    rows: Sequence[Mapping[str, Any]],
    steps: int,
    prompts: Sequence[int],
    file: Path,
    frames: int = 1,
) -> list[str]:
    """Write the sheet of one number of steps, and return its rows, by name.

    Parameters
    ----------
    records : Records
        Where the pictures are.
    rows : sequence of mapping
        Standings, as JSON has them.
    steps : int
        Of full compute.
    prompts : sequence of int
        Whose pictures; a column each.
    file : Path
        A WebP.
    frames : int, default 1
        Of each picture, side by side: 1 where it is none of a video.
    """
    there = {(r["setting"], r["index"]): r for r in records.read() if "image" in r}
    names = {(r["budget"], r["entrant"]): r["setting"] for r in there.values() if "budget" in r}
    here = [row for row in rows if row["steps"] == steps]
    wanted = [("full", f"{steps}-full")]
    wanted += [(row_name(row), names[row["budget"], row["entrant"]]) for row in here]
    wanted = wanted[:MAX_ROWS]
    sheet = Image.new("RGB", (SIDE * len(prompts), SIDE * len(wanted)), "white")
    for y, (_, setting) in enumerate(wanted):
        for x, index in enumerate(prompts):
            record = there.get((setting, index))
            if record is not None:
                with records.picture(record) as picture:
                    sheet.paste(thumbnail(picture, SIDE, frames), (x * SIDE, y * SIDE))
    sheet.save(file, quality=QUALITY, method=6)
    return [name for name, _ in wanted]


def row_name(row: Mapping[str, Any]) -> str:
    """Return a standing's name in the sheet."""
    return f"{row['budget']} {row['entrant']}"


def sheet_file(figures: Path, model: str, steps: int) -> Path:
    """Return where the sheet of some figures is: beside them."""
    stem = figures.stem if figures.stem.endswith(model) else f"{figures.stem}-{model}"
    return figures.with_name(f"{stem}-{steps}.webp")
