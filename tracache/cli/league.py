"""``python -m tracache league``: checks the arguments, runs everybody, writes what it came to."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tracache.caching.checks import require_integer
from tracache.caching.declare import HOST
from tracache.compare.arms import find_arm
from tracache.compare.options import check_options
from tracache.compare.report import versions
from tracache.compare.request import make_request
from tracache.experiments.league.entrants import ALL, WAY, Entrant, Field, field_of
from tracache.experiments.league.making import make, plays
from tracache.experiments.league.pictures import sheet_file, shown_prompts, write_sheet
from tracache.experiments.league.questions import QUESTIONS, figure_of
from tracache.experiments.league.standings import Cells, sum_up
from tracache.experiments.league.tables import report
from tracache.experiments.league.tuning import count_tries, searched, tune
from tracache.experiments.output import write_figure
from tracache.experiments.records import Records
from tracache.experiments.refresh import PLACE, digest_of
from tracache.experiments.subjects import all_subjects, any_subject, every_nth
from tracache.experiments.summary import PairMeasure
from tracache.experiments.ways import Circumstances
from tracache.metrics.fid import SetMeasure, measures_for
from tracache.metrics.lpips import LpipsMeasure
from tracache.models.loading import LoadedModel
from tracache.models.sources import labels_of
from tracache.models.spec import ModelSpec
from tracache.settings import Settings

#: Shares of the steps that are computed unless somebody says how many.
SHARES = (1 / 4, 3 / 10, 2 / 5, 1 / 2)

#: Pictures of a cell that may be shown.
MAX_PICTURES = 8


@dataclass(frozen=True)
class Plan:
    """What is run of one model, checked.

    Attributes
    ----------
    spec : ModelSpec
        The model.
    fields : list of Field
        Who takes part, for each number of steps.
    budgets : dict of int to list of int
        Steps → numbers of computed steps.
    subjects, tuning : list of str or int
        Held-out prompts or classes, and those that settings are chosen on.
    of : str
        Which of the two: "prompts" or "classes".
    measures : dict
        Of sets of pictures, by name.
    """

    spec: ModelSpec
    fields: list[Field]
    budgets: dict[int, list[int]]
    subjects: list[str | int]
    tuning: list[str | int]
    of: str
    measures: dict[str, SetMeasure]


def run_league(args: argparse.Namespace, load: Callable[[str], LoadedModel]) -> dict[str, Any]:
    """Run a league and return its figures for JSON; tables and figures go to the folder.

    Parameters
    ----------
    args : argparse.Namespace
        The parsed command line.
    load : callable
        Loads a model by its name; called once everything has been checked.

    Raises
    ------
    ValueError
        If something is not allowed; before any work starts.
    """
    require_integer("batch", args.batch, 1, 64)
    require_integer("count", args.count, 1, 100_000)
    require_integer("tuning", args.tuning, 1, 64)
    require_integer("pictures", args.pictures, 0, MAX_PICTURES)
    plans = [make_plan(args, model) for model in dict.fromkeys(args.models)]
    pairs: dict[str, PairMeasure] = {}
    if args.lpips is not None:
        if any(plan.spec.makes_video for plan in plans):
            raise ValueError("lpips is of images: leave it out, or the models of videos")
        lpips = LpipsMeasure(args.lpips)
        pairs[lpips.name] = lpips
    header = {"count": args.count, "batch": args.batch, "tuning": args.tuning}
    kept = []
    for plan in plans:
        records = Records(args.output / plan.spec.id)
        records.begin({"model": plan.spec.id, **header})
        kept.append(records)
    figures: dict[str, Any] = {
        "command": command_of(args),
        "weights": digest_of([plan.spec.id for plan in plans], Settings.from_environment()),
        "versions": versions(),
        **header,
        "models": [],
    }
    for plan, records in zip(plans, kept, strict=True):
        figures["models"].append(_run(plan, records, args, load, pairs))
    text = report(figures)
    (args.output / "table.md").write_text(text + "\n", "utf-8")
    _write_figures(figures, args.output)
    print(f"{text}\n\nwritten to {args.output}")
    return figures


def make_plan(args: argparse.Namespace, model: str) -> Plan:
    """Check what is asked of one model.

    Raises
    ------
    ValueError
        If something is not allowed.
    """
    request = make_request(model, **any_subject(model), seed=0)
    spec = request.spec
    fields, budgets = [], {}
    options = check_options(args.options, HOST)
    for steps in dict.fromkeys(args.steps):
        require_integer("steps", steps, 2, spec.max_steps)
        around = Circumstances(request.scheduler, request.guidance_scale, steps)
        variants = [variant_of(words, steps) for words in args.variant]
        fields.append(field_of(spec, around, args.arms, args.ways, options, variants))
        budgets[steps] = args.compute or sorted({max(2, round(s * steps)) for s in SHARES})
        for budget in budgets[steps]:
            require_integer("compute", budget, 2, steps)
    asked = argparse.Namespace(model=model, prompts=None)
    heldout, of = all_subjects(asked, "heldout.txt")
    tuning, _ = all_subjects(asked, "tuning.txt")
    if not heldout:
        raise ValueError(f"there are no {of} to take for {model}")
    return Plan(
        spec,
        fields,
        budgets,
        every_nth(heldout, args.count),
        every_nth(tuning, args.tuning),
        of,
        _distance(spec),
    )


def variant_of(words: Sequence[str], steps: int) -> Entrant:
    """Read ``TITLE ARM NAME=VALUE …``: an arm with other settings, under a name of its own.

    Parameters
    ----------
    words : sequence of str
        As on the command line; ``{steps}`` in a value is the number of steps.
    steps : int
        Of full compute.

    Raises
    ------
    ValueError
        If that is not what they are, or a setting is not allowed.
    """
    if len(words) < 3 or not all("=" in word for word in words[2:]):
        raise ValueError(f"--variant takes TITLE ARM NAME=VALUE …, got {' '.join(words)}")
    title, arm, *settings = words
    given = {}
    for text in settings:
        name, _, value = text.partition("=")
        declared = find_arm(arm).options.get(name)
        value = value.replace("{steps}", str(steps))
        # What is unknown is for the check to refuse, in its words.
        given[name] = value if declared is None else declared.read(value)
    return Entrant(title, title, WAY, arm, check_options({arm: given}, HOST)[arm])


def command_of(args: argparse.Namespace) -> str:
    """Return the command that makes the same figures again."""
    words = ["python", "-m", "tracache", "league", *args.models]
    several = {"steps": args.steps, "compute": args.compute, "arms": args.arms, "ways": args.ways}
    for name, values in several.items():
        if values and values != [ALL]:
            words += [f"--{name}", *map(str, values)]
    for text in args.option:
        words += ["--option", text]
    for variant in args.variant:
        words += ["--variant", *variant]
    for name in ("count", "batch", "tuning", "pictures", "lpips"):
        if getattr(args, name) is not None:
            words += [f"--{name}", str(getattr(args, name))]
    return f"{shlex.join(words)} --json {PLACE}"


def _run(
    plan: Plan,
    records: Records,
    args: argparse.Namespace,
    load: Callable[[str], LoadedModel],
    pairs: dict[str, PairMeasure],
) -> dict[str, Any]:
    model = load(plan.spec.id)
    cells = [_steps(plan, whole, model, records, args, pairs) for whole in plan.fields]
    rows = [row.to_dict() for one in cells for row in one.rows]
    around = plan.fields[0].around
    figures: dict[str, Any] = {
        "model": plan.spec.id,
        "device": model.device_name,
        "dtype": model.dtype_name,
        "scheduler": around.scheduler,
        "guidance_scale": around.guidance_scale,
        "steps": list(plan.budgets),
        "prompts": max((one.prompts for one in cells), default=0),
        "of": plan.of,
        "absent": plan.fields[0].absent,
        "rows": rows,
        "out": [one for each in cells for one in each.out],
    }
    if args.json is not None and args.pictures:
        shown = shown_prompts(len(plan.subjects), args.pictures)
        figures["subjects"] = [_words(plan, index) for index in shown]
        figures["seeds"] = shown
        figures["sheets"] = {}
        for steps in plan.budgets:
            file = sheet_file(args.json, plan.spec.id, steps)
            names = write_sheet(records, rows, steps, shown, file)
            figures["sheets"][str(steps)] = {"file": file.name, "rows": names}
    return figures


def _steps(
    plan: Plan,
    whole: Field,
    model: LoadedModel,
    records: Records,
    args: argparse.Namespace,
    pairs: dict[str, PairMeasure],
) -> Cells:
    """Run one number of steps: settings first, then everybody."""
    budgets = plan.budgets[whole.around.steps]
    title = f"{plan.spec.id}, {whole.around.steps} steps"
    with tqdm(total=len(searched(whole)), unit="arm", desc=f"{title}, tuning") as bar:
        about = f"{count_tries(whole)} tries"
        bar.set_postfix_str(about)
        whole, chosen = tune(model, whole, plan.tuning, budgets, records, bar.update)
    batches = -(-len(plan.subjects) // args.batch)
    with tqdm(total=batches * len(list(plays(whole, budgets))), unit="run", desc=title) as bar:
        make(
            model,
            whole,
            plan.subjects,
            budgets,
            chosen,
            records,
            batch=args.batch,
            progress=bar.update,
        )
    return sum_up(records, whole, chosen, budgets, plan.measures, pairs)


def _distance(spec: ModelSpec) -> dict[str, SetMeasure]:
    """What measures a set of pictures; nothing where no network knows them."""
    if not spec.embedded or spec.makes_video:
        return {}
    return dict(list(measures_for("scenes", spec).items())[:1])


def _words(plan: Plan, index: int) -> str:
    """Return a prompt, or the name of a class."""
    subject = plan.subjects[index]
    labels = labels_of(plan.spec, Settings.from_environment()) if plan.of == "classes" else None
    if labels is None or isinstance(subject, str):
        return str(subject)
    return labels.names[subject]


def _write_figures(figures: dict[str, Any], folder: Path) -> None:
    for one in figures["models"]:
        for steps in one["steps"]:
            for axis in QUESTIONS:
                figure = figure_of(one["rows"], axis, steps)
                if figure is not None:
                    # A file may be looked at anywhere, and has room for its legend.
                    paper = dict.fromkeys(("paper_bgcolor", "plot_bgcolor"), "white")
                    figure.update_layout(**paper, height=520, legend={"y": -0.25}, margin={"t": 24})
                    write_figure(figure, folder / "figures" / f"{one['model']}-{steps}-{axis}")


def add_league(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="models, one after the other")
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 30, 50], help="20 30 50")
    parser.add_argument(
        "--compute",
        type=int,
        nargs="+",
        metavar="N",
        help="computed steps (1/4, 3/10, 2/5 and 1/2 of the steps)",
    )
    parser.add_argument("--arms", nargs="+", default=[ALL], metavar="ARM", help="all")
    parser.add_argument("--ways", nargs="+", default=[ALL], metavar="WAY", help="all")
    parser.add_argument(
        "--variant",
        nargs="+",
        action="append",
        default=[],
        metavar="WORD",
        help="TITLE ARM NAME=VALUE …: an arm with other settings too; {steps} may be in a value",
    )
    parser.add_argument("--count", type=int, default=64, help="held-out prompts (default 64)")
    parser.add_argument("--batch", type=int, default=32, help="prompts per run (default 32)")
    parser.add_argument(
        "--tuning", type=int, default=16, help="prompts that settings are found on (default 16)"
    )
    parser.add_argument(
        "--pictures", type=int, default=4, help="prompts of which pictures are shown (default 4)"
    )
    parser.add_argument("--lpips", help="distance to full compute's images: alex, vgg, squeeze")
    parser.add_argument("--device", help="the best there is by default")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="of records; goes on there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
