"""A league as a table in Markdown, for people who read rather than sort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tracache.compare.output import table
from tracache.experiments.league.questions import QUESTIONS, answer
from tracache.models.registry import find_model

Row = Mapping[str, Any]


def short(value: float) -> str:
    """Three digits after the point, without a nought before it."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if 0 <= value < 1 else text


def rank_words(rank: Sequence[float]) -> str:
    """Return a rank and its interval, such as ``2 (1–4)``."""
    mid, low, high = (round(r) for r in rank)
    return f"{mid}" if low == mid == high else f"{mid} ({low}–{high})"


def standings_table(rows: Sequence[Row], steps: int) -> str:
    """Return the standings of one number of steps: everybody a row, every budget a column.

    A cell has the mean latent error, it as a share of fewer steps', and the rank with its interval.
    """
    here = [row for row in rows if row["steps"] == steps]
    budgets = sorted({row["budget"] for row in here})
    by_title: dict[str, dict[int, Row]] = {}
    for row in here:
        by_title.setdefault(row["title"], {})[row["budget"]] = row

    def cell(row: Row | None) -> str:
        if row is None:
            return "–"
        return f"{short(row['error'][0])} ({short(row['share'][0])}) {rank_words(row['rank'])}"

    def standing(title: str) -> tuple[int, float]:
        there = by_title[title].values()
        return -len(by_title[title]), fmean(row["rank"][0] for row in there)

    return table(
        [
            {
                f"of {steps} steps": title,
                **{f"{b} computed": cell(by_title[title].get(b)) for b in budgets},
            }
            for title in sorted(by_title, key=standing)
        ]
    )


def scores_table(rows: Sequence[Row], steps: int, full: Mapping[str, float]) -> str:
    """Return the scores of one number of steps, full compute first; empty where there are none.

    Scores know nothing of full compute's picture: what scores as well may be another picture.
    """
    here = [row for row in rows if row["steps"] == steps]
    if not full or not here:
        return ""
    about = {f"of {steps} steps": "Full compute", "computed": str(steps), "PSNR": "∞", "SSIM": "1"}
    lines = [{**about, **{name: f"{value:.3f}" for name, value in full.items()}}]
    for row in here:
        lines.append(
            {
                f"of {steps} steps": row["title"],
                "computed": str(row["budget"]),
                "PSNR": f"{row['psnr']:.2f}",
                "SSIM": f"{row['ssim']:.4f}",
                **{
                    name: f"{row['more'][name]:.3f}" if name in row["more"] else "–"
                    for name in full
                },
            }
        )
    return table(lines)


def out_words(out: Sequence[Row], steps: int) -> str:
    """Say who stays out of which budget, and why."""
    why: dict[tuple[str, str], list[str]] = {}
    for one in out:
        if one["steps"] == steps:
            why.setdefault((one["title"], one["why"]), []).append(str(one["budget"]))
    return "; ".join(f"{t} at {', '.join(budgets)}: {w}" for (t, w), budgets in why.items())


def report(figures: Mapping[str, Any]) -> str:
    """Return a whole league in Markdown: tables, who stays out, and the three answers."""
    parts = []
    for one in figures["models"]:
        title = find_model(one["model"]).title
        for steps in one["steps"]:
            if not any(row["steps"] == steps for row in one["rows"]):
                continue
            parts.append(
                f"{title}, {steps} steps ({one['scheduler']}, guidance {one['guidance_scale']:g}), "
                f"{one['prompts']} held-out {one['of']}: mean latent error, as a share of fewer "
                "steps' in brackets, and the rank with its 95 % interval."
            )
            parts.append(standings_table(one["rows"], steps))
            if scores := scores_table(one["rows"], steps, one.get("full", {}).get(str(steps), {})):
                parts.append(scores)
            if words := out_words(one["out"], steps):
                parts.append(f"Not in the table: {words}.")
            parts += [
                f"*{question}* {answer(one['rows'], axis, steps)}"
                for axis, question in QUESTIONS.items()
            ]
    return "\n\n".join(parts)
