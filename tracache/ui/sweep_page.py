"""The route of sweeps: budgets × methods for one prompt, filling in as they are made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from tracache.caching.checks import require_integer
from tracache.compare.arm import PUBLISHED, TRACACHE
from tracache.compare.arms import ARMS
from tracache.compare.figures import work_and_fidelity
from tracache.compare.report import ArmResult
from tracache.compare.request import Request, make_request
from tracache.models.loading import ModelUnavailableError
from tracache.models.registry import find_model, takes_class
from tracache.settings import Settings
from tracache.ui.handlers import Handlers
from tracache.ui.job import Job
from tracache.ui.numbers import whole
from tracache.ui.offer import offered, require_offered
from tracache.ui.outcome import Changes
from tracache.ui.toast import fail, tell
from tracache.ui.views.grid import SweepCell, nearest, sweep_grid
from tracache.ui.widgets.viewer import file_url

#: Shares of a run's steps that may compute, and those that are swept unless somebody says which.
SHARES = (0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
SWEPT = (0.25, 0.3, 0.4, 0.5)

#: Arms that compute exactly as many steps as they are told, in the order of the columns, and those
#: that are swept unless somebody says which.
COLUMNS = ("reuse", "taylorseer", "hicache", PUBLISHED, TRACACHE, "fewer-steps")
CHOSEN = ("reuse", "taylorseer", PUBLISHED, TRACACHE, "fewer-steps")

ABOUT = """One prompt, at several numbers of computed steps, by several methods: which is nearest to
full compute at equal work, and where? Each cell fills in as it is made and leads to its full
comparison. One prompt is one prompt: the means over many are under *Manual*, in the results."""

NONE = "No embedded model is offered here; sweep from the command line: `tracache sweep`."

EMPTY = '<p class="tc-quiet">Press Run the sweep: full compute first, then a cell at a time.</p>'


@dataclass(frozen=True)
class Place:
    """A cell of the grid: what is asked for there, and which arm of it is shown."""

    computed: int
    arm: str
    request: Request

    @property
    def cell(self) -> SweepCell:
        """What the page shows of it before it is made."""
        return SweepCell(self.computed, self.arm)


def budgets(steps: int, shares: Sequence[float] = SHARES) -> list[int]:
    """Return numbers of computed steps that are worth a row, of a run of so many steps."""
    return sorted({max(2, round(share * steps)) for share in shares})


def add_sweep(handlers: Handlers, settings: Settings, **one_at_a_time: Any) -> None:
    """Lay out the route."""
    models = [entry for entry in offered(settings) if entry.embedded]
    if not models:
        gr.Markdown(f"# Sweep\n{NONE}")
        return
    spec = models[0]
    gr.Markdown(f"# Sweep\n{ABOUT}")
    with gr.Row(elem_classes="tc-main"):
        with gr.Column(scale=4, min_width=300):
            model = gr.Dropdown(
                [(entry.title, entry.id) for entry in models],
                value=spec.id,
                label="Model",
                info="Models of the Hub are swept from the command line: tracache sweep.",
                interactive=True,
            )
            # A line, since a box that grows is now and then measured before it is laid out.
            subject = gr.Textbox(spec.example_prompts[0], label="Prompt or class", max_lines=1)
            with gr.Row():
                seed = gr.Number(0, label="Seed", minimum=0, min_width=100)
                steps = gr.Slider(4, 100, spec.steps, step=1, label="Steps", min_width=160)
            computed = gr.CheckboxGroup(
                budgets(spec.steps), value=budgets(spec.steps, SWEPT), label="Computed steps"
            )
            arms = gr.CheckboxGroup(
                [(ARMS[arm].title, arm) for arm in COLUMNS], value=list(CHOSEN), label="Methods"
            )
            with gr.Row():
                start = gr.Button("Run the sweep", variant="primary", scale=3, min_width=120)
                stop = gr.Button(
                    "Stop", variant="stop", scale=1, min_width=80, elem_id="sweep-stop"
                )
        with gr.Column(scale=7, min_width=300):
            status = gr.HTML(EMPTY, elem_id="sweep-status")
            grid = gr.HTML(elem_id="sweep-grid")
            plot = gr.Plot(show_label=False, visible=False, elem_id="sweep-plot")

    outputs = {"status": status, "grid": grid, "plot": plot}

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def follow(model_id: str) -> tuple[str, int]:
        chosen = find_model(model_id)
        return chosen.example_prompts[0], chosen.steps

    model.input(follow, model, [subject, steps], **quiet)
    steps.change(
        lambda steps: gr.update(choices=budgets(steps), value=budgets(steps, SWEPT)),
        steps,
        computed,
        **quiet,
    )

    def run(http: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
        for changes in run_sweep(handlers, settings, http.session_hash or "", *values):
            yield {outputs[name]: value for name, value in changes.items()}

    start.click(
        run,
        [model, subject, seed, steps, computed, arms],
        list(outputs.values()),
        show_progress="minimal",
        show_progress_on=[status],
        api_visibility="private",
        **one_at_a_time,
    )
    stop.click(handlers.stop, queue=False, show_progress="hidden", api_visibility="private")


def make_places(
    model: str,
    subject: Any,
    seed: Any,
    steps: Any,
    computed: Sequence[Any],
    arms: Sequence[Any],
    settings: Settings,
) -> list[Place]:
    """Check everything that a sweep asks for, and return its cells in the order they are made.

    Raises
    ------
    ValueError
        If anything is not allowed, or nothing is chosen.
    """
    if not computed or not arms:
        raise ValueError("choose a number of computed steps and a method at least")
    if not set(arms) <= set(COLUMNS) or len(computed) > len(SHARES):
        raise ValueError("computed steps and methods must be among those on the page")
    what = {"class_label" if takes_class(model) else "prompt": subject}
    places = []
    for budget in sorted(map(whole, computed)):
        # A sweep's rows are told apart by it; a comparison would take it for all of the steps.
        require_integer("computed steps", budget, 1, whole(steps))
        for arm in (column for column in COLUMNS if column in arms):
            request = make_request(
                model,
                **what,
                seed=whole(seed),
                steps=whole(steps),
                compute=budget,
                arms=[arm],
                reuse_baseline=True,
                timed=False,
                trace=False,
                environment=settings,
            )
            places.append(Place(budget, arm, request))
    return places


def run_sweep(
    handlers: Handlers,
    settings: Settings,
    session: str,
    model: str,
    subject: Any,
    seed: Any,
    steps: Any,
    computed: Sequence[Any],
    arms: Sequence[Any],
) -> Iterator[Changes]:
    """Make one cell after another; every cell is a job of its own, which stays for an hour.

    Raises
    ------
    gr.Error
        If something is not allowed, or a job fails.
    """
    try:
        require_offered(model, settings)
        handlers.backend.require_available(model)
        places = make_places(model, subject, seed, steps, computed, arms, settings)
    except (ValueError, ModelUnavailableError) as error:
        raise tell(error) from error
    found: dict[int, tuple[Job, ArmResult]] = {}
    begun = time.monotonic()

    def start(i: int) -> Job | None:
        if i == len(places):
            return None
        return handlers.jobs.start(places[i].request, session, handlers.make)

    coming = start(0)
    yield _show(places, found, "Full compute …", running=True)
    for i, place in enumerate(places):
        if time.monotonic() - begun > settings.deadline_s:
            message = f"Stopped after {settings.deadline_s:g} seconds, the longest allowed here."
            if coming is not None:
                coming.stop()
            yield _show(places, found, message, plot=bool(found))
            return
        job = coming
        assert job is not None
        for now in job.follow():
            if now.state == "stopped":
                message = f"Stopped after {i} of {len(places)} cells."
                yield _show(places, found, message, plot=bool(found))
                return
            if now.state == "failed":
                message = f"Failed after {i} of {len(places)} cells."
                yield _show(places, found, message, plot=bool(found))
                raise fail(now.error)
        arm = next(result for result in now.results if result.arm == place.arm)
        found[i] = (job, arm)
        # The next one runs while this one's cell travels to the page.
        coming = start(i + 1)
        ends = i + 1 == len(places) or places[i + 1].computed != place.computed
        message = f"{i + 1} of {len(places)} cells …"
        yield _show(places, found, message, plot=ends, running=True)
    yield _show(places, found, f"Done. {_winners(places, found)}")


def _show(
    places: Sequence[Place],
    found: dict[int, tuple[Job, ArmResult]],
    message: str,
    *,
    plot: bool = False,
    running: bool = False,
) -> Changes:
    """Fill the grid, and where told the plot, which takes longer to draw than a cell to make.

    The page shows Stop while the status says that something is running.
    """
    cells = []
    for i, place in enumerate(places):
        made = found.get(i)
        if made is None:
            cells.append(place.cell)
            continue
        job, result = made
        source = file_url(job.snapshot().files[place.arm])
        cells.append(replace(place.cell, job_id=job.id, source=source, result=result))
    done = [cell for cell in cells if cell.result is not None]
    under_way = " data-running" if running else ""
    status = f'<p class="tc-message" role="status"{under_way}>{message}</p>'
    changes: Changes = {"status": status, "grid": sweep_grid(cells)}
    if plot:
        points = [
            (
                f"{ARMS[cell.arm].title}, {cell.computed} computed",
                cell.result.speed_up_macs,
                cell.result.psnr,
                cell.arm,
            )
            for cell in done
            if cell.result is not None
        ]
        changes["plot"] = gr.update(value=work_and_fidelity(points), visible=True)
    return changes


def _winners(places: Sequence[Place], found: dict[int, tuple[Job, ArmResult]]) -> str:
    """Say which method was nearest at which numbers of computed steps."""
    rows: dict[int, list[SweepCell]] = {}
    for i, (_, result) in found.items():
        rows.setdefault(places[i].computed, []).append(replace(places[i].cell, result=result))
    won: dict[str, list[str]] = {}
    for computed, row in rows.items():
        if len(row) > 1 and (best := nearest(row)) is not None:
            won.setdefault(ARMS[best.arm].title, []).append(str(computed))
    parts = [f"{title} at {_listed(at)}" for title, at in won.items()]
    return f"Nearest: {'; '.join(parts)} computed steps." if parts else ""


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
