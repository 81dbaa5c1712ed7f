"""Figures and tables as files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

#: Of the PNG, in CSS pixels; twice as many dots.
SIZE = (900, 560)


def write_figure(figure: go.Figure, stem: Path) -> list[Path]:
    """Write a figure as an interactive page that works offline, and as PNG where that can be.

    PNGs are drawn by kaleido (the extra ``figures``) with a Chrome or Chromium on the machine;
    without them a line on stderr says so.

    Parameters
    ----------
    figure : plotly Figure
        What to draw.
    stem : Path
        Name of the files without their endings.

    Returns
    -------
    list of Path
        What was written.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    page, image = stem.with_suffix(".html"), stem.with_suffix(".png")
    figure.write_html(page, include_plotlyjs=True)
    width, height = figure.layout.width or SIZE[0], figure.layout.height or SIZE[1]
    try:
        figure.write_image(image, width=width, height=height, scale=2)
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        print(f"no {image.name}: it needs kaleido and a Chrome ({reason})", file=sys.stderr)
        return [page]
    return [page, image]


def write_csv(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write rows, all with the same columns, as CSV."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
