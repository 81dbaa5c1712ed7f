"""Leagues that were played and kept, for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracache.experiments.league.pictures import row_name

#: Where they are, within the assets.
FOLDER, PATTERN = "benchmarks", "league*.json"


@dataclass(frozen=True)
class Sheet:
    """Pictures of some who took part.

    Attributes
    ----------
    file : Path
        A picture of rows and columns.
    rows : tuple of str
        What each row shows; the first is full compute.
    subjects : tuple of str
        What each column shows.
    seeds : tuple of int
        Of each column's noise; empty where they were not kept.
    """

    file: Path
    rows: tuple[str, ...]
    subjects: tuple[str, ...]
    seeds: tuple[int, ...] = ()

    def place(self, row: Mapping[str, Any]) -> int | None:
        """Return which of its rows shows a standing; None if none does."""
        name = row_name(row)
        return self.rows.index(name) if name in self.rows else None


@dataclass(frozen=True)
class League:
    """What was kept of one model at one number of steps.

    Attributes
    ----------
    model : str
        A key of the registry.
    steps : int
        Of full compute.
    rows, out : list of mapping
        Standings, and who stays out; see :mod:`tracache.experiments.league.standings`.
    about : mapping
        All else.
    file : Path
        Where it was kept.
    """

    model: str
    steps: int
    rows: list[dict[str, Any]]
    out: list[dict[str, Any]]
    about: Mapping[str, Any]
    file: Path

    @property
    def budgets(self) -> list[int]:
        """The budgets that have standings."""
        return sorted({row["budget"] for row in self.rows})

    def cell(self, budget: int) -> list[dict[str, Any]]:
        """Return the standings at a budget, by rank."""
        return [row for row in self.rows if row["budget"] == budget]

    @property
    def sheet(self) -> Sheet | None:
        """Pictures; None where there are none."""
        found = self.about.get("sheets", {}).get(str(self.steps))
        # A name from a file must not lead out of the folder.
        if not found or Path(found["file"]).name != found["file"]:
            return None
        file = self.file.with_name(found["file"])
        if not file.is_file():
            return None
        seeds = tuple(self.about.get("seeds", ()))
        return Sheet(file, tuple(found["rows"]), tuple(self.about["subjects"]), seeds)


def kept_leagues(assets: Path) -> dict[str, dict[int, League]]:
    """Return what was kept, by model and number of steps; of several the last file by name.

    Files are read when they are first asked for, and again once they are others.

    Raises
    ------
    ValueError
        If a file is none of ours; the message names it.
    """
    found: dict[str, dict[int, League]] = {}
    for file in sorted((assets / FOLDER).glob(PATTERN)):
        for league in _read(file, file.stat().st_mtime_ns):
            found.setdefault(league.model, {})[league.steps] = league
    return {model: dict(sorted(some.items())) for model, some in found.items()}


@lru_cache(maxsize=32)
def _read(file: Path, changed: int) -> Sequence[League]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return [
            League(model, steps, _of(rows, steps), _of(out, steps), {**data, **one}, file)
            for one in data["models"]
            for model, rows, out in [(one["model"], one["rows"], one["out"])]
            for steps in dict.fromkeys(row["steps"] for row in rows)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file.name} holds no league ({error!r}): make it again with python -m tracache "
            "refresh, or remove it"
        ) from None


def _of(rows: Sequence[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    return [row for row in rows if row["steps"] == steps]
