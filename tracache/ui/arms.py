"""How many steps compute, which arm makes use of that, and what else can be set of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from tracache.caching.config import BUDGET, PREDICTION, SCHEDULE, TraCacheConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import PUBLISHED, REFERENCE, TRACACHE
from tracache.compare.arms import ARMS
from tracache.models.presets import CUSTOM
from tracache.models.registry import MODELS, find_model
from tracache.models.spec import ModelSpec
from tracache.ui.models import preset_choices, rivals_of, set_computed
from tracache.ui.setting_controls import ON_PAGE, QUIET, add_group
from tracache.ui.views.notes import arm_note, preset_note
from tracache.ui.widgets.options import NOT_HERE, PLACES, add_options, show_chosen

#: Arms at once, full compute and the accelerated one among them.
MAX_ARMS = 4

#: How it is said which steps compute: by their number, by a stride, or by what the features do.
BY_NUMBER, BY_STRIDE, ADAPTIVE = "compute", "stride", "auto"
WAYS = (
    ("So many steps", BY_NUMBER),
    ("At a stride", BY_STRIDE),
    ("Adaptive: where the predicted error grows", ADAPTIVE),
)


@dataclass(frozen=True)
class Budget:
    """How many steps compute.

    Attributes
    ----------
    compute : gr.Slider
        Their number.
    plan : gr.HTML
        Shows which they will be.
    """

    compute: gr.Slider
    plan: gr.HTML


def add_budget(spec: ModelSpec) -> Budget:
    """Add the slider that decides how much work is left out, and its plan."""
    with gr.Column(elem_id="budget"):
        compute = add_group(BUDGET, replace(spec.cache, compute=_default_budget(spec)))["compute"]
        compute.maximum, compute.info = spec.steps, "← less work · more faithful →"
        plan = gr.HTML("", padding=True, elem_id="plan")
    return Budget(compute, plan)


def add_arms(spec: ModelSpec, model: gr.Dropdown, budget: Budget) -> dict[str, Any]:
    """Lay out the accelerated arm, with the defaults of a model; return its controls by name."""
    cache = replace(spec.cache, compute=_default_budget(spec))
    arm = gr.Dropdown(
        [(m.title, m.id) for m in ARMS.values() if m.id != REFERENCE and not m.matches],
        value=TRACACHE,
        label="Accelerated by",
        interactive=True,
    )
    note = gr.HTML(arm_note(TRACACHE, spec, NOT_HERE), padding=True, elem_id="arm-note")
    own = {"options": add_options("options", TRACACHE, spec)}
    preset = gr.Dropdown(
        preset_choices(spec), value=CUSTOM, label="Preset", interactive=True, visible=False
    )
    preset_text = gr.HTML("", padding=True, visible=False, elem_id="preset-note")
    when = gr.Radio(
        list(WAYS), value=BY_NUMBER, label="Which compute", visible=False, interactive=True
    )
    also = gr.Dropdown(
        [
            (m.title, m.id)
            for m in sorted(ARMS.values(), key=lambda m: m.id != "fewer-steps")
            if m.id != REFERENCE and m.id not in NOT_HERE
        ],
        value=rivals_of(spec),
        # A third is refused with a message; with max_choices it would be dropped in silence.
        multiselect=True,
        label="Compare with as well",
        info="Two at most. Fewer steps at equal cost is what a cache has to beat.",
        interactive=True,
    )
    schedule = add_group(SCHEDULE, cache, visible=False)
    refined, refinements = _refinements(cache)
    with gr.Accordion("How it plans, predicts and looks back", open=False) as planning:
        own["planning"] = add_options("planning", TRACACHE, spec)
    shown = {"preset": preset, "when": when, "compute": budget.compute, **schedule}
    shown |= {"plan": budget.plan, "refined": refined, "planning": planning}

    def follow(chosen: str, also: Any, when: str, named: str, model_id: str, *held: Any) -> list:
        model = find_model(model_id)
        return [
            arm_note(chosen, model, NOT_HERE),
            gr.update(value=preset_note(named, model), visible=named != CUSTOM),
            *(
                show_chosen(place, options, chosen, model)
                for place, options in zip(PLACES, held, strict=True)
            ),
            *(gr.update(visible=v) for v in _shown(chosen, also, when, named, model_id).values()),
        ]

    gr.on(
        [arm.change, also.change, when.change, preset.change, model.change],
        follow,
        [arm, also, when, preset, model, *own.values()],
        [
            note,
            preset_text,
            *own.values(),
            *(shown[name] for name in _shown(TRACACHE, [], "", CUSTOM, spec.id)),
        ],
        **QUIET,
    )
    # Whoever chooses an arm gets it as it is meant to be: the published method with its stride.
    arm.input(None, [arm, also, model], [when, preset, also], js=_choose_arm(), **QUIET)
    inputs = {"when": when, **schedule, "arm": arm, "also": also, "preset": preset}
    return {**inputs, **refinements, **own}


def _choose_arm() -> str:
    """Script of what follows from the choice of an arm.

    In the browser, so that it is done before anybody can press Generate.
    """
    rivals = {spec.id: rivals_of(spec) for spec in MODELS.values()}
    return f"""(arm, rivals, model) => {{
      const mine = {json.dumps(rivals)}[model] ?? ["fewer-steps"];
      const given = rivals ?? [];
      // What was chosen to hold it against, if anybody chose.
      const untouched = [mine, mine.slice(0, 1)].some((list) => String(list) === String(given));
      const beside = untouched
        ? (arm === "{TRACACHE}" ? mine : mine.slice(0, 1))
        : given.filter((name) => name !== arm);
      return [arm === "{PUBLISHED}" ? "{BY_STRIDE}" : "{BY_NUMBER}", "{CUSTOM}", beside];
    }}"""


def _default_budget(spec: ModelSpec) -> int:
    return PlannedConfig().budget(spec.steps)


def _shown(arm: str, also: Any, when: str, preset: str, model: str) -> dict[str, bool]:
    """Whether each control means something: those that do not are out of sight."""
    first = ARMS[arm]
    arms = [first, *(ARMS[name] for name in also or [] if name in ARMS)]
    scheduled = first.scheduled or any(a.forecasts or a.plans for a in arms)
    by_hand = preset == CUSTOM
    forecasts = any(a.forecasts for a in arms)
    asked = by_hand and scheduled
    schedule = {
        name: asked and (forecasts if name == "max_order" else when != BY_NUMBER)
        for name in ON_PAGE
        if ON_PAGE[name].group == SCHEDULE
    }
    for name in schedule:
        if ON_PAGE[name].only == (BY_STRIDE, ADAPTIVE):
            schedule[name] = asked and when == ADAPTIVE
    return {
        "preset": bool(find_model(model).presets) and (first.forecasts or not by_hand),
        "when": asked and (first.forecasts or when != BY_NUMBER),
        **schedule,
        "compute": asked and when == BY_NUMBER,
        "stride": asked and when == BY_STRIDE,
        "plan": scheduled,
        "refined": first.forecasts,
        "planning": first.plans and bool(first.options),
    }


def follow_budget(steps: int) -> int:
    """Return how many steps compute where the number asked for is of more steps than there are."""
    return PlannedConfig().budget(steps)


def follow_steps(compute: gr.Slider, steps: gr.Slider, model: gr.Dropdown) -> None:
    """Let the number of computed steps go by the number of steps.

    Parameters
    ----------
    compute, steps, model : gradio components
        Steps that compute, steps of full compute, and the model.
    """

    def bound(most: Any, chosen: Any, model_id: str) -> Any:
        if not isinstance(most, int | float) or not isinstance(chosen, int | float):
            return gr.skip()
        # So many computed that none is skipped would be nothing to look at.
        wanted = chosen if chosen < most else follow_budget(int(most))
        changes = set_computed(find_model(model_id), int(most), int(chosen))
        return {**changes, "value": wanted}

    # What a visitor does: a model, or a link, brings its own number along.
    steps.input(bound, [steps, compute, model], compute, **QUIET)


def _refinements(cache: TraCacheConfig) -> tuple[gr.Accordion, dict[str, Any]]:
    with gr.Accordion("How it predicts and chooses", open=False, visible=False) as accordion:
        controls = add_group(PREDICTION, cache)
    for name, control in controls.items():
        only = ON_PAGE[name].only
        if only is not None and only[0] in controls:
            controls[only[0]].change(
                lambda chosen, wanted=only[1]: gr.update(visible=chosen == wanted),
                controls[only[0]],
                control,
                **QUIET,
            )
    return accordion, controls
