"""``python -m tracache refresh``: makes figures of older weights again, and says what moved."""

from __future__ import annotations

import argparse
from pathlib import Path

from tracache.experiments.refresh import Figures, find_figures, refresh
from tracache.settings import Settings

#: Numbers named of each file.
NAMED = 5

AFTERWARDS = (
    "Then, by hand: python -m tracache examples (what the page shows before a run), the README's "
    "pictures, and the words and tables of RESULTS.md where figures moved."
)


def run_refresh(args: argparse.Namespace) -> None:
    """List what is out of date, or make it again.

    Raises
    ------
    ValueError
        If a file of figures is none, or there is none of a name that is given.
    """
    settings = Settings.from_environment()
    found = find_figures(settings.assets / "benchmarks", settings)
    names = {figures.file.stem for figures in found}
    for name in args.only or ():
        if name not in names:
            raise ValueError(f"there are no figures {name}; choose of {', '.join(sorted(names))}")
    chosen = [f for f in found if f.file.stem in (args.only or names)]
    stale = [f for f in chosen if args.all or not f.is_fresh]
    for figures in chosen:
        print(_line(figures))
    if args.list or not stale:
        print(f"{len(stale)} of {len(chosen)} to make again.")
        return
    work = args.work or Path.home() / ".cache" / "tracache" / "refresh"
    for figures, moves in refresh(stale, work):
        print(f"{figures.file.name}: {len(moves)} numbers moved")
        for move in moves[:NAMED]:
            print(f"  {move.where}: {move.before:.4g} → {move.after:.4g}")
    print(AFTERWARDS)


def _line(figures: Figures) -> str:
    if figures.is_fresh:
        state = "of these weights"
    else:
        state = "of older weights" if figures.weights else "does not say of which weights"
    return f"{figures.file.stem}: {state}"
