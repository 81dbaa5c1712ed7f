"""The plan that is shown is the one that runs."""

from dataclasses import replace

import pytest

from tests.compare.test_video import assets as video_assets
from tests.models.hub import write_model
from tracache.compare.arms import ARMS
from tracache.compare.comparison import compare, run
from tracache.compare.events import StepDone
from tracache.compare.plan import plans
from tracache.compare.request import make_request
from tracache.models.loading import load_model
from tracache.models.registry import MODELS, takes_class
from tracache.settings import Settings

assets = video_assets
ARMS_PLANNED = ["tracache", "published", "reuse", "fewer-steps"]


def shown_and_run(request, settings):
    """What was shown, and what ran, by arm."""
    ran: dict[str, list[int]] = {}
    for event in compare(load_model(request.model, settings), request):
        if isinstance(event, StepDone):
            ran.setdefault(event.arm, [])
            if event.computed:
                ran[event.arm].append(event.step)
    shown = {plan.arm: list(plan.steps) for plan in plans(request, settings)}
    return shown, ran


@pytest.mark.parametrize(
    "given",
    [
        {"scheduler": "dpm-solver++"},
        {"scheduler": "ddim", "compute": 3},
        {"scheduler": "deis", "stride": 4},
        {"scheduler": "ddpm", "compute": 5},
        {"full_steps": (0, 2, 3, 7)},
        {"options": {"tracache": {"placement": "even"}}},
    ],
)
def test_images(given):
    request = make_request("scenes-t2i", "a red cube", seed=0, steps=9, trace=False, **given)
    request = replace(request, arms=("full", *ARMS_PLANNED))
    shown, ran = shown_and_run(request, Settings.from_environment())
    assert shown == ran


def test_classes(tmp_path, monkeypatch):
    write_model(tmp_path, "scenes-class")
    monkeypatch.setenv("TRACACHE_ASSETS", str(tmp_path))
    request = make_request("scenes-class", class_label=0, steps=8, arms=ARMS_PLANNED, trace=False)
    shown, ran = shown_and_run(request, Settings.from_environment())
    assert shown == ran


def test_videos(assets):
    """Whose timesteps are the pipeline's own affair."""
    settings = replace(Settings.from_environment(), assets=assets, device="cpu")
    request = make_request("scenes-t2v", "a red cube", steps=8, arms=ARMS_PLANNED, trace=False)
    shown, ran = shown_and_run(request, settings)
    assert shown == ran


def test_a_plan_that_the_run_corrects_says_so_and_keeps_its_number():
    options = {"tracache": {"placement": "measured"}}
    request = make_request("scenes-t2i", "x", seed=0, steps=9, options=options, trace=False)
    plan = plans(request)[1]
    assert plan.changes
    assert plan.describe().endswith("which the run places anew on its way")
    settings = Settings.from_environment()
    assert run(load_model("scenes-t2i", settings), request).arms[1].full_steps == len(plan.steps)


def test_what_the_run_decides_is_left_to_it():
    request = make_request("scenes-t2i", "x", stride="auto", arms=["published", "tracache"])
    assert [plan.steps for plan in plans(request)[1:]] == [None, None]
    partial = make_request("scenes-t2i", "x", arms=["toca", "fewer-steps"])
    assert plans(partial)[2].describe() == "decided while it runs"


@pytest.mark.parametrize("model_id", [spec.id for spec in MODELS.values() if not spec.embedded])
def test_models_that_are_not_here_have_a_plan(model_id):
    subject = {"class_label": 0} if takes_class(model_id) else {"prompt": "x"}
    arms = [name for name in ("tracache", "ddim") if not ARMS[name].refusal(MODELS[model_id])]
    request = make_request(model_id, **subject, arms=arms, compute=7)
    steps = plans(request)[1].steps
    assert len(steps) == 7
    assert (steps[0], steps) == (0, tuple(sorted(set(steps))))
