"""``python -m tracache league``: checks the arguments, runs everybody, writes what it came to."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tracache.cli.league_options import command_of
from tracache.cli.league_plan import Measures, Plan, plan_league
from tracache.compare.report import versions
from tracache.experiments.league import cluster
from tracache.experiments.league.leg import PHASES, Leg
from tracache.experiments.league.pictures import sheet_file, shown_prompts, write_sheet
from tracache.experiments.league.questions import QUESTIONS, figure_of
from tracache.experiments.league.scoring import write_subjects
from tracache.experiments.league.standings import sum_up
from tracache.experiments.league.tables import report
from tracache.experiments.league.tuning import searched
from tracache.experiments.output import write_figure
from tracache.experiments.records import Records
from tracache.experiments.refresh import digest_of
from tracache.experiments.vbench import ABOUT as VBENCH
from tracache.experiments.vbench import CLIPS, write_prompts
from tracache.experiments.workers import Worker
from tracache.models.loading import LoadedModel
from tracache.settings import Settings


def run_league(
    args: argparse.Namespace, load: Callable[[str], LoadedModel], worker: Worker
) -> dict[str, Any] | None:
    """Run a worker's share of a league; the first worker then sums up all of it.

    Figures are returned for JSON; tables and figures go to the folder.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    load : callable
        Loads a model by its name; called once everything has been checked.
    worker : Worker
        Which share is done here.

    Returns
    -------
    dict or None
        None for a worker that is not the first.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    if args.ray is not None and worker.count > 1:
        raise ValueError("--ray shares the work out by itself: leave out accelerate or torchrun")
    planned = plan_league(args)
    if args.ray is not None:
        cluster.connect(args.ray)
    plans, measures, header = planned.plans, planned.measures, planned.header
    kept = [Records(args.output / plan.folder, worker.index) for plan in plans]
    for plan, records in zip(plans, kept, strict=True):
        if worker.is_main:
            records.begin({"model": plan.spec.id, **header})
            write_subjects(records.folder, plan.words, plan.of, plan.frames)
    worker.wait()
    places = []
    for plan, records in zip(plans, kept, strict=True):
        places.append(_run(plan, records, args, load, measures, worker))
    if not worker.is_main:
        return None
    figures: dict[str, Any] = {
        "command": command_of(args),
        "weights": digest_of([plan.spec.id for plan in plans], Settings.from_environment()),
        "versions": versions(),
        **{name: value for name, value in header.items() if value is not None},
        "models": [
            _summary(plan, records, args, place, measures)
            for plan, records, place in zip(plans, kept, places, strict=True)
        ],
    }
    text = report(figures)
    (args.output / "table.md").write_text(text + "\n", "utf-8")
    _write_figures(figures, plans, args.output)
    print(f"{text}\n\nwritten to {args.output}")
    for plan, records in zip(plans, kept, strict=True):
        if (records.folder / CLIPS).is_dir():
            write_prompts(records.folder, plan.words)
            print(f"{plan.spec.title}: {VBENCH}")
    return figures


def _run(
    plan: Plan,
    records: Records,
    args: argparse.Namespace,
    load: Callable[[str], LoadedModel],
    measures: Measures,
    worker: Worker,
) -> cluster.Place:
    """Do this worker's share of a model's runs, and return where it ran."""
    phases = PHASES if measures.named else PHASES[:2]
    if args.ray is not None:
        with cluster.players(args.ray, plan.name, args.measures, records, args.device) as team:
            place = cluster.place_of(team)
            for leg, phase, title in _phases(plan, phases):
                with tqdm(total=leg.shares(phase), unit="share", desc=title) as bar:
                    cluster.play(team, phase, leg, bar.update)
        return place
    model = load(plan.spec.id)
    for leg, phase, title in _phases(plan, phases):
        total = leg.runs(worker) if phase == "runs" else None
        if phase == "tuning":
            total = len(worker.share(searched(leg.whole)))
        unit = {"tuning": "arm", "runs": "run"}.get(phase, "picture")
        with tqdm(total=total, unit=unit, desc=title, disable=not worker.is_main) as bar:
            leg.do(phase, model, records, measures.named, worker, bar.update)
        worker.wait()
    return cluster.Place(model.device_name, model.dtype_name)


def _phases(plan: Plan, phases: Sequence[str]) -> list[tuple[Leg, str, str]]:
    """Return what is done one after the other, with a title."""
    return [
        (leg, phase, f"{plan.spec.id}, {leg.whole.around.steps} steps, {phase}")
        for leg in plan.legs
        for phase in phases
    ]


def _summary(
    plan: Plan,
    records: Records,
    args: argparse.Namespace,
    place: cluster.Place,
    measures: Measures,
) -> dict[str, Any]:
    """Return what a model's records come to."""
    cells = []
    for leg in plan.legs:
        whole, chosen = leg.settle(records)
        cells.append(sum_up(records, whole, chosen, leg.budgets, plan.measures, measures.pairs))
    rows = [row.to_dict() for one in cells for row in one.rows]
    around = plan.legs[0].whole.around
    every = [leg.whole.around.steps for leg in plan.legs]
    figures: dict[str, Any] = {
        "model": plan.spec.id,
        "device": place.device_name,
        "dtype": place.dtype_name,
        "scheduler": around.scheduler,
        "guidance_scale": around.guidance_scale,
        "steps": every,
        "prompts": max((one.prompts for one in cells), default=0),
        "of": plan.of,
        "absent": plan.legs[0].whole.absent,
        "rows": rows,
        "out": [one for each in cells for one in each.out],
    }
    if any(one.full for one in cells):
        figures["full"] = {str(s): one.full for s, one in zip(every, cells, strict=True)}
    if args.json is not None and args.pictures:
        shown = shown_prompts(len(plan.words), args.pictures)
        figures["subjects"] = [plan.words[index] for index in shown]
        figures["seeds"] = shown
        figures["sheets"] = {}
        for steps in every:
            file = sheet_file(args.json, plan.folder, steps)
            there = write_sheet(records, rows, steps, shown, file, plan.frames)
            figures["sheets"][str(steps)] = {"file": file.name, "rows": there}
    return figures


def _write_figures(figures: dict[str, Any], plans: Sequence[Plan], folder: Path) -> None:
    for one, plan in zip(figures["models"], plans, strict=True):
        for steps in one["steps"]:
            for axis in QUESTIONS:
                figure = figure_of(one["rows"], axis, steps)
                if figure is not None:
                    # A file may be looked at anywhere, and has room for its legend.
                    paper = dict.fromkeys(("paper_bgcolor", "plot_bgcolor"), "white")
                    figure.update_layout(**paper, height=520, legend={"y": -0.25}, margin={"t": 24})
                    write_figure(figure, folder / "figures" / f"{plan.folder}-{steps}-{axis}")
