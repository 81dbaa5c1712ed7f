"""Tables and JSON files, as every command writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def table(rows: list[dict[str, str]]) -> str:
    """Return rows, all with the same columns, as a table in Markdown."""
    names = list(rows[0])
    widths = [max(len(name), *(len(row[name]) for row in rows)) for name in names]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(names), rule, *(line([row[n] for n in names]) for row in rows)])


def write_json(file: Path, data: Any) -> None:
    """Write ``data`` as strict JSON; NaN and infinities are refused with a ValueError."""
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
