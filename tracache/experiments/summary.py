"""What a folder of records comes to: a table, a plot of speed against fidelity, a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
from PIL import Image, ImageDraw

from tracache.compare.arm import REFERENCE, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.colours import arm_colours
from tracache.experiments.grid import SAME, spacing_words
from tracache.experiments.records import AnyRecords, Records
from tracache.metrics.fid import SetMeasure

#: One per max order, or one per line.
MARKERS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star", "hexagon")


#: Figure of an image beside full compute's.
PairMeasure = Callable[[Image.Image, Image.Image], float]


@dataclass(frozen=True)
class SummaryRow:
    """The means over all prompts of one setting.

    Attributes
    ----------
    setting, arm, steps, stride, max_order, label
        As in the records.
    images : int
        How many.
    full_steps, block_calls, macs : float
        The latter two as a share of full compute.
    psnr, ssim, latent_error : float
        Against full compute; dB, 1, and relative. The reference's PSNR is infinite.
    sets : dict of str to float
        Of the images as a set, and means of other measures, by name.
    """

    setting: str
    arm: str
    steps: int
    stride: int | str
    max_order: int
    label: str
    images: int
    full_steps: float
    block_calls: float
    macs: float
    psnr: float
    ssim: float
    latent_error: float
    sets: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the row, ready for JSON."""
        return {**asdict(self), "psnr": SAME if self.psnr == float("inf") else self.psnr}


def summarise(
    records: AnyRecords,
    measures: dict[str, SetMeasure] | None = None,
    pairs: dict[str, PairMeasure] | None = None,
) -> list[SummaryRow]:
    """Return a row for every setting, full compute first, cheaper ones later.

    Parameters
    ----------
    records : Records or Remembered
        What was recorded.
    measures : dict, optional
        Of sets of images, by name.
    pairs : dict, optional
        Of an image and full compute's, by name; rows have their means.
    """
    settings: dict[str, list[dict[str, Any]]] = {}
    full: dict[tuple[int, int], dict[str, Any]] = {}
    for record in records.read():
        settings.setdefault(record["setting"], []).append(record)
        if record["arm"] == REFERENCE:
            full[record["steps"], record["index"]] = record
    rows = [_row(name, found, records, measures or {}) for name, found in settings.items()]
    for row in rows if pairs else []:
        found = settings[row.setting]
        for title, measure in (pairs or {}).items():
            row.sets[title] = fmean(
                measure(records.picture(r), records.picture(full[r["steps"], r["index"]]))
                for r in found
                if (r["steps"], r["index"]) in full
            )
    return sorted(rows, key=lambda row: (row.steps, row.arm != REFERENCE, -row.macs, row.setting))


def _row(
    name: str, found: list[dict[str, Any]], records: AnyRecords, measures: dict[str, SetMeasure]
) -> SummaryRow:
    images = [records.picture(r) for r in found] if measures else []
    prompts = [str(r["subject"]) for r in found] if measures else []

    def mean(field: str) -> float:
        return fmean(float(r[field]) for r in found)

    first = found[0]
    return SummaryRow(
        setting=name,
        arm=first["arm"],
        steps=first["steps"],
        stride=first["stride"],
        max_order=first["max_order"],
        label=first["label"],
        images=len(found),
        full_steps=mean("full_steps"),
        block_calls=mean("block_calls"),
        macs=mean("macs"),
        psnr=mean("psnr"),
        ssim=mean("ssim"),
        latent_error=mean("latent_error"),
        sets={title: measure(images, prompts) for title, measure in measures.items()},
    )


def show(row: SummaryRow) -> dict[str, str]:
    """Return a row as the cells of a table."""
    return {
        "steps": str(row.steps),
        "arm": title_of(row.arm) + (f", {row.label}" if row.label else ""),
        "stride": str(row.stride) if row.arm != REFERENCE else "",
        "max order": str(row.max_order) if row.arm != REFERENCE else "",
        "images": str(row.images),
        "full steps": f"{row.full_steps:.4g}",
        "block calls": f"{row.block_calls:.1%}",
        "MACs": f"{row.macs:.1%}",
        "PSNR": "∞" if row.psnr == float("inf") else f"{row.psnr:.2f} dB",
        "SSIM": f"{row.ssim:.4f}",
        "latent error": f"{row.latent_error:.4f}",
        **{name: f"{value:.3f}" for name, value in row.sets.items()},
    }


def title_of(arm: str) -> str:
    """Return an arm in words."""
    return ARMS[arm].title if arm in ARMS else arm


def pareto(rows: Sequence[SummaryRow]) -> go.Figure:
    """Draw fidelity (latent error) against the speed-up in MACs, a line per arm and order."""
    figure = go.Figure()
    lines: dict[tuple[str, int, int], list[SummaryRow]] = {}
    for row in rows:
        if row.arm != REFERENCE:
            lines.setdefault((row.arm, row.max_order, row.steps), []).append(row)
    arms = list(dict.fromkeys(arm for arm, _, _ in lines))
    colours = dict(zip(arms, arm_colours(arms), strict=True))
    several = len({steps for _, _, steps in lines}) > 1
    orders = {arm: {o for a, o, _ in lines if a == arm} for arm in arms}
    for (arm, order, steps), points in lines.items():
        points = sorted(points, key=lambda row: row.macs)
        name = title_of(arm)
        name += f", order ≤ {order}" if len(orders[arm]) > 1 else ""
        name += f", {steps} steps" if several else ""
        figure.add_trace(
            go.Scatter(
                x=[1 / row.macs for row in points],
                y=[row.latent_error for row in points],
                text=[
                    f"{name}<br>{spacing_words(r.stride)}: {r.full_steps:.3g} of {r.steps}"
                    for r in points
                ],
                hovertemplate="%{text}<br>%{x:.2f}× fewer MACs, error %{y:.4f}<extra></extra>",
                mode="lines+markers",
                name=name,
                line={"color": colours[arm], "width": 1.5},
                marker={"symbol": MARKERS[order % len(MARKERS)], "size": 8},
                opacity=1 if arm == TRACACHE else 0.7,
            )
        )
    figure.update_layout(
        template="plotly_white",
        margin={"t": 20, "r": 20},
        xaxis_title="multiply–accumulates of full compute over the arm's",
        yaxis={"title": "latent error against full compute", "type": "log"},
        legend={"groupclick": "toggleitem"},
    )
    return figure


def thumbnail(picture: Image.Image, side: int, frames: int | None = None) -> Image.Image:
    """Return the middle of an image, or of the middle one of frames side by side, as small as that.

    Parameters
    ----------
    picture : Image
        An image, or frames side by side.
    side : int
        Pixels.
    frames : int, optional
        How many frames; as many as there are squares if not given.
    """
    frames = frames or max(1, picture.width // picture.height)
    width, height = picture.width // frames, picture.height
    edge = min(width, height)
    left = width * (frames // 2) + (width - edge) // 2
    top = (height - edge) // 2
    return picture.crop((left, top, left + edge, top + edge)).resize((side, side))


def contact_sheet(
    records: Records, rows: Sequence[SummaryRow], columns: int = 6, side: int = 128
) -> Image.Image:
    """Lay out the first images of every setting, a setting a row, its name at the left."""
    margin = 190
    names = [row.setting for row in rows]
    found = records.read()
    width = margin + columns * side
    sheet = Image.new("RGB", (width, side * len(names)), "white")
    draw = ImageDraw.Draw(sheet)
    for y, (name, row) in enumerate(zip(names, rows, strict=True)):
        asked = f"\n{spacing_words(row.stride)}, order ≤ {row.max_order}"
        order = "" if row.arm == REFERENCE else asked
        psnr = "" if row.psnr == float("inf") else f"\n{row.psnr:.1f} dB"
        text = f"{title_of(row.arm)}{order}\n{row.full_steps:.3g} of {row.steps} steps{psnr}"
        draw.multiline_text((8, y * side + 12), text, fill="black", font_size=14, spacing=6)
        shown = [r for r in found if r["setting"] == name][:columns]
        for x, record in enumerate(shown):
            with records.picture(record) as picture:
                sheet.paste(thumbnail(picture, side), (margin + x * side, y * side))
    return sheet
