"""A league's cell as a table that sorts, each row with its pictures; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tracache.compare.arm import TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.serialise import to_query
from tracache.experiments.league.entrants import RIVAL, WAY
from tracache.experiments.league.kept import League, Sheet
from tracache.experiments.league.questions import QUESTIONS, answer, answers_of
from tracache.experiments.league.tables import out_words, rank_words, short
from tracache.ui.widgets.viewer import file_url

Row = Mapping[str, Any]

#: How a line of Plotly's is drawn in a style sheet.
_BORDERS = {"solid": "solid", "dash": "dashed", "dot": "dotted"}

EMPTY = (
    '<div class="tcl-none" role="status"><p><b>No league has been recorded here yet.</b></p>'
    "<p>It runs every method at the same number of computed steps, on the same held-out prompts "
    "and noise, which takes hours on a processor. It is made on the command line, goes on where it "
    "was cut off, and this page shows whatever lies in the assets' <code>benchmarks</code>:</p>"
    "<pre tabindex='0'>python -m tracache league scenes-t2i --output FOLDER \\\n"
    "  --json demo_assets/benchmarks/league-scenes-t2i.json</pre></div>"
)


def league_table(league: League, budget: int) -> str:
    """Draw one cell: everybody a row, by rank; a button in each shows its pictures."""
    rows = league.cell(budget)
    sheet = league.sheet
    more = list(rows[0]["more"]) if rows else []
    names = ["Rank", "Method", "Latent error", "Of fewer steps’", "Nearer on", "PSNR", "SSIM"]
    names += [*more, "Computed"]
    head = "".join(_head(name, place) for place, name in enumerate(names))
    body = "".join(_row(row, more, sheet) for row in rows)
    return (
        f'<div class="tcl"{_sheet(sheet)}{_asked(league, sheet, budget)}>'
        '<div class="tcl-shown" role="status" aria-live="polite"></div>'
        '<div class="tc-scroll" tabindex="0" role="region" aria-label="The league">'
        '<table class="tc-table tcl-table"><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{_notes(league, budget)}</div>"
    )


def _head(name: str, place: int) -> str:
    sort = ' aria-sort="ascending"' if place == 0 else ""
    return f'<th scope="col"{sort}><button type="button">{escape(name)}</button></th>'


def _row(row: Row, more: Sequence[str], sheet: Sheet | None) -> str:
    error, share, rank = row["error"], row["share"], row["rank"]
    place = sheet.place(row) if sheet is not None else None
    title = escape(row["title"])
    who = title
    if place is not None:
        who = (
            f'<button type="button" class="tcl-who" aria-pressed="false" data-place="{place}"'
            f' data-query="{escape(_query(row))}">{title}</button>'
        )
    kind = {TRACACHE: " tcl-ours", RIVAL: " tcl-rival"}.get(row["entrant"], "")
    kind += " tcl-way" if row["kind"] == WAY else ""
    cells = [
        _cell(rank[0], rank_words(rank)),
        f'<th scope="row" data-value="{title}">{who}{_options(row["options"])}</th>',
        _cell(error[0], short(error[0]), f"{short(error[1])}–{short(error[2])}"),
        _cell(share[0], _share(share[0]), f"{_share(share[1])}–{_share(share[2])}"),
        _cell(row["nearer"], "–" if row["entrant"] == RIVAL else f"{row['nearer']:.0%}"),
        _cell(row["psnr"], f"{row['psnr']:.1f} dB"),
        _cell(row["ssim"], short(row["ssim"])),
        *(_cell(row["more"][name], f"{row['more'][name]:.2f}") for name in more),
        _cell(row["computed"], f"{row['computed']:g}"),
    ]
    return f'<tr class="{kind.strip()}">{"".join(cells)}</tr>'


def _cell(value: float, text: str, within: str = "") -> str:
    small = f"<small>{escape(within)}</small>" if within else ""
    return f'<td data-value="{value:g}">{escape(text)}{small}</td>'


def _share(share: float) -> str:
    return f"{share:.2f}".removeprefix("0") if share < 1 else f"{share:.2f}"


def _options(options: Mapping[str, Any]) -> str:
    """Say which settings were found for it, where they are no more than can be read."""
    words = [
        f"{k.replace('_', ' ')} {v:g}" for k, v in options.items() if isinstance(v, int | float)
    ]
    return f"<small>{escape(', '.join(words))}</small>" if words else ""


def _sheet(sheet: Sheet | None) -> str:
    if sheet is None:
        return ""
    subjects = "".join(f"\n{subject}" for subject in sheet.subjects).strip()
    return (
        f' data-sheet="{escape(file_url(sheet.file))}" data-rows="{len(sheet.rows)}"'
        f' data-subjects="{escape(subjects)}"'
    )


def _asked(league: League, sheet: Sheet | None, budget: int) -> str:
    """Return what the front page is asked for by a link from a picture: all but the arm."""
    if sheet is None or not sheet.seeds:
        return ""
    what = "class_label" if league.about["of"] == "classes" else "prompt"
    common = {"model": league.model, "steps": league.steps, "compute": budget}
    asked = [
        to_query({**common, what: subject, "seed": seed})
        for subject, seed in zip(sheet.subjects, sheet.seeds, strict=True)
    ]
    return f' data-asked="{escape(" ".join(asked))}"'


def _query(row: Row) -> str:
    """Return the rest: the arm and its settings; empty where the front page has no such arm."""
    arm = ARMS.get(row["entrant"])
    if row["kind"] == WAY or arm is None or arm.for_host_only:
        return ""
    given: dict[str, Any] = {"arms": [arm.id]}
    if row["options"] and row["options"].keys() <= arm.options.keys():
        given["options"] = {arm.id: row["options"]}
    return to_query(given)


def _notes(league: League, budget: int) -> str:
    about = league.about
    lines = [
        f"{about['prompts']} held-out {about['of']}, the same noise for all; small print and what "
        "stands in brackets: between what 95 % of 2,000 draws of as many prompts put it. Ranks are "
        f"among the arms, by the mean latent error; what is indented in italics varies one setting "
        f"of an arm, and has the rank that it would have. {about['scheduler']}, guidance "
        f"{about['guidance_scale']:g}, {about['batch']} prompts a run. Recorded on "
        f"{about['device']}, {about['dtype']}."
    ]
    out = [one for one in league.out if one["budget"] == budget]
    if words := out_words(out, league.steps):
        lines.append(f"Not in the table: {words}.")
    return "".join(f'<p class="tc-quiet">{escape(line)}</p>' for line in lines)


def league_answer(league: League, axis: str) -> str:
    """Return a question, its answer in a sentence, and what the lines of its figure are."""
    lines = "".join(
        f'<li><i style="border-top: 3px {_BORDERS[one.dash]} {one.colour}"></i>'
        f"{escape(one.name)}</li>"
        for one in answers_of(league.rows, axis, league.steps)
    )
    legend = f'<ul class="tcl-lines">{lines}</ul>' if lines else ""
    words = escape(answer(league.rows, axis, league.steps))
    return f'<div class="tcl-answer"><h3>{QUESTIONS[axis]}</h3><p>{words}</p>{legend}</div>'
