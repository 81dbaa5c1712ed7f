"""Requests: defaults from the model, and everything that is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tracache import TraCacheConfig
from tracache.caching.methods import TeaCacheConfig, ToCaConfig
from tracache.caching.methods.planned import PlannedConfig
from tracache.compare.arm import Given, Setup
from tracache.compare.arms import ARMS, find_arm
from tracache.compare.request import make_request
from tracache.media import VideoSize, pixels_of
from tracache.models.presets import Preset
from tracache.models.registry import MODELS, find_model, takes_class
from tracache.models.sources import labels_of
from tracache.settings import Settings

GOOD = {"model": "scenes-t2i", "prompt": "a shiny red sphere on water at sunset"}


def test_defaults_are_the_models():
    request = make_request(**GOOD)
    spec = find_model("scenes-t2i")
    assert (request.steps, request.guidance_scale) == (spec.steps, spec.guidance_scale)
    assert request.cache == replace(spec.cache, compute=8)
    assert request.arms == ("full", "tracache")
    assert 0 <= request.seed < 2**32


def test_full_compute_comes_first_and_no_arm_twice():
    request = make_request(**GOOD, arms=["reuse", "tracache", "full", "reuse"])
    # TraCache before the others, which may need to know what it computed.
    assert request.arms == ("full", "tracache", "reuse")


def test_white_space_of_the_prompt_is_tidied():
    assert make_request("scenes-t2i", "  a red \n sphere\t").prompt == "a red sphere"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"model": "sdxxl"}, ["unknown model 'sdxxl'", "scenes-t2i"]),
        ({"model": None}, ["unknown model None"]),
        ({"prompt": ""}, ["prompt is empty", "describe"]),
        ({"prompt": " \n"}, ["prompt is empty"]),
        ({"prompt": 7}, ["prompt is empty"]),
        ({"prompt": "x" * 10_000}, ["10,000 characters", "shorten it to 300"]),
        ({"prompt": "a\x00b"}, ["unprintable"]),
        ({"seed": -1}, ["seed", "-1", "0 to 4294967295"]),
        ({"seed": 2**32}, ["seed"]),
        ({"steps": 0}, ["steps", "0", "1 to 100"]),
        ({"steps": 20.5}, ["steps", "20.5", "whole number"]),
        ({"steps": True}, ["steps", "True"]),
        ({"guidance_scale": math.nan}, ["guidance_scale", "nan"]),
        ({"guidance_scale": math.inf}, ["guidance_scale", "inf"]),
        ({"guidance_scale": "high"}, ["guidance_scale", "'high'"]),
        ({"scheduler": "euler"}, ["scheduler", "'euler'", "dpm-solver++, ddim"]),
        ({"stride": 0}, ["stride", "0", "1 to 50"]),
        ({"stride": math.nan}, ["stride", "nan"]),
        ({"max_order": 9}, ["max_order", "9", "0 to 5"]),
        ({"last_step": "yes"}, ["last_step", "'yes'"]),
        ({"arms": ["magic"]}, ["unknown arm 'magic'", "tracache"]),
        ({"arms": "tracache"}, ["list of names"]),
        ({"arms": [3]}, ["list of names"]),
        ({"trace": 1}, ["trace", "True or False"]),
        ({"colour": "red"}, ["unknown setting colour"]),
        ({"preset": "best"}, ["preset", "'best'"]),
        ({"arms": ["gates"]}, ["gates needs a table"]),
        ({"arms": ["mag"]}, ["mag needs ratios calibrated"]),
        ({"arms": ["gates"], "options": {"gates": {"file": 3}}}, ["file must be text, got 3"]),
        (
            {"who": "anyone", "options": {"gates": {"file": "x"}}},
            ["file can be set on the command"],
        ),
        ({"who": "host", "rule": "taylor"}, ["rule can be set in Python only"]),
        ({"options": {"toca": {"ratio": 2}}}, ["ToCa: ratio", "0 to 1", "2"]),
        ({"options": {"toca": {"speed": 2}}}, ["toca has no option 'speed'", "ratio"]),
        ({"options": {"reuse": {"a": 2}}}, ["reuse has no option 'a'; it has none"]),
        ({"options": {"magic": {}}}, ["unknown arm 'magic'"]),
        ({"options": {"toca": 3}}, ["must be names with values"]),
    ],
)
def test_bad_input_says_what_to_do(change, words):
    with pytest.raises(ValueError) as error:
        make_request(**{**GOOD, **change})
    for word in words:
        assert word in str(error.value)


def test_every_model_is_consistent():
    for spec in MODELS.values():
        if labels_of(spec, Settings.from_environment()) is not None:
            make_request(spec.id, class_label=0)
        elif spec.task == "text-to-image":
            for prompt in (*spec.example_prompts, "a prompt"):
                make_request(spec.id, prompt)


DIT = {"model": "dit-xl-2-256", "class_label": "goldfish"}


def test_a_class_takes_the_place_of_the_prompt():
    request = make_request(**DIT)
    assert (request.subject, request.class_label, request.prompt) == (
        1,
        1,
        "goldfish, Carassius auratus",
    )
    assert (request.steps, request.guidance_scale, request.scheduler) == (50, 4.0, "ddim")
    assert (request.cache.warmup, request.cache.compute) == (2, 20)
    assert make_request(**{**DIT, "steps": 250, "scheduler": "ddpm"}).steps == 250
    assert make_request(**GOOD).subject == GOOD["prompt"]


@pytest.mark.parametrize(
    "asked, words",
    [
        ({**DIT, "class_label": "goldfisch"}, ["no class 'goldfisch'", "did you mean goldfish"]),
        ({**DIT, "class_label": "shark"}, ["no class 'shark'", "white shark"]),
        ({**DIT, "class_label": "qqqq"}, ["no class 'qqqq'", "such as tench", "0 to 999"]),
        ({**DIT, "class_label": "crane"}, ["several classes", "134 (crane) or 517 (crane)"]),
        ({**DIT, "class_label": 1000}, ["no class 1000", "0 to 999"]),
        ({**DIT, "class_label": -1}, ["no class -1"]),
        ({**DIT, "class_label": 1.5}, ["name or number, got 1.5"]),
        ({**DIT, "class_label": True}, ["name or number, got True"]),
        ({**DIT, "class_label": " "}, ["class_label is empty"]),
        ({"model": "dit-xl-2-256"}, ["class_label is empty"]),
        ({**DIT, "prompt": "a goldfish"}, ["takes a class, not a prompt"]),
        ({**GOOD, "class_label": 3}, ["takes a prompt, not a class"]),
    ],
)
def test_bad_classes_say_what_to_do(asked, words):
    with pytest.raises(ValueError) as error:
        make_request(**asked)
    for word in words:
        assert word in str(error.value)


def test_classes_that_are_not_here_say_why(tmp_path):
    here = replace(Settings.from_environment(), assets=tmp_path)
    with pytest.raises(ValueError, match=r"Scenes by class .* is not in .*: clone the whole"):
        make_request("scenes-class", class_label=0, environment=here)


KIN = ("published", "reuse", "taylorseer", "tracache-fixed", "hicache", "spectrum", "dmd", "foca")
FORECASTS = (*KIN, "vde", "zeus", "own", "toca")
FEWER = ("fewer-steps", "dpm-solver++", "ddim", "deis", "ddpm")


@pytest.mark.parametrize("arm", FORECASTS + FEWER)
@pytest.mark.parametrize("last_step", [False, True])
def test_arms_meet_at_equal_cost(arm, last_step):
    """Arms that take the schedule compute as many full steps as the method as published."""
    if arm == "toca":
        last_step = False  # it has an interval of its own
    config = TraCacheConfig(stride=3, max_order=2, last_step=last_step)
    setup = find_arm(arm).setup(Given(20, config))
    assert len(setup.computed_steps) == (8 if last_step else 7)
    assert setup.num_steps == (20 if arm in FORECASTS else len(setup.computed_steps))


def test_arms_differ_in_what_they_should():
    config = TraCacheConfig(stride=4, max_order=3)
    asked = Given(20, config)
    setups = {arm: ARMS[arm].setup(asked) for arm in ARMS if not ARMS[arm].for_host_only}
    assert setups["full"] == Setup(20)
    assert setups["fewer-steps"] == Setup(5)
    assert setups["deis"] == Setup(5, scheduler="deis")
    assert (setups["reuse"].cache.rule, setups["taylorseer"].cache.rule) == ("reuse", "taylor")
    assert setups["tracache-fixed"].cache.order == setups["taylorseer"].cache.order == "fixed"
    assert setups["hicache"].cache.abscissa == "step"
    assert setups["published"].cache == config
    assert setups["tracache"].cache == PlannedConfig(compute=5)
    assert len({setups[arm] for arm in setups}) == len(setups)


def test_an_arms_own_settings_reach_its_plan():
    request = make_request(
        **GOOD,
        arms=["toca", "teacache", "fastercache"],
        guidance_scale=1.0,
        options={"toca": {"ratio": 0.5}, "teacache": {"threshold": 0.25}},
    )
    assert request.set_up("toca").cache == ToCaConfig(ratio=0.5)
    assert request.set_up("teacache").cache == TeaCacheConfig(threshold=0.25)
    # Without guidance the batch has no two halves.
    assert not request.set_up("fastercache").cache.guided


def test_an_adaptive_stride_tells_the_others_what_it_computed():
    arms = ["fewer-steps", "tracache", "reuse", "published"]
    request = make_request(**GOOD, arms=arms, stride="auto")
    assert request.arms == ("full", "published", "reuse", "tracache", "fewer-steps")
    assert request.matched == "published"
    assert request.set_up("published").num_computed is None
    assert request.set_up("fewer-steps", computed=9) == Setup(9)
    assert request.set_up("tracache", computed=9).num_computed == 9
    for alone in ("fewer-steps", "tracache"):
        with pytest.raises(ValueError, match="choose TraCache, as published, too"):
            make_request(**GOOD, arms=[alone], stride="auto")


#: What may be said of how many steps compute, of 20 → how many that are.
SCHEDULES = [
    ({}, 8),
    ({"steps": 10}, 4),
    ({"compute": 5}, 5),
    ({"compute": 50}, 20),
    ({"compute": 7, "stride": 2, "last_step": True}, 7),
    ({"stride": 4}, 6),  # the model's default computes the last one too
    ({"stride": 4, "last_step": False}, 5),
    ({"stride": 5, "warmup": 3, "last_step": False}, 6),
    ({"full_steps": (0, 1, 5, 18)}, 4),
    ({"preset": "20-6"}, 6),
]


@pytest.mark.parametrize("given, wanted", SCHEDULES)
def test_every_arm_computes_as_many_steps_as_are_asked_for(given, wanted):
    arms = ("tracache", "published", "reuse", "taylorseer", "hicache", "fewer-steps", "deis")
    request = make_request(**GOOD, arms=arms, **given)
    assert {request.set_up(arm).num_computed for arm in arms} == {wanted}


def test_exactly_these_steps_are_everyones():
    request = make_request(**GOOD, full_steps=(0, 3, 9), arms=["tracache", "published"])
    plans = {arm: request.set_up(arm).computed_steps for arm in request.arms[1:]}
    assert plans == {"tracache": (0, 3, 9), "published": (0, 3, 9)}


def test_how_many_steps_compute_is_no_arms_own():
    for name in ("compute", "stride", "full_steps"):
        with pytest.raises(ValueError, match=f"tracache has no option '{name}'"):
            make_request(**GOOD, options={"tracache": {name: 3}})
    request = make_request(**GOOD, options={"tracache": {"space": "data", "correct": False}})
    wanted = PlannedConfig(compute=8, space="data", correct=False)
    assert request.set_up("tracache").cache == wanted
    with pytest.raises(ValueError, match="TraCache: space must be one of"):
        make_request(**GOOD, options={"tracache": {"space": "blocks"}})


def test_gates_come_from_a_file(tmp_path):
    table = np.ones((20, 3), dtype=bool)
    table[1::2, 1] = False
    np.save(tmp_path / "gates.npy", table)
    (tmp_path / "gates.json").write_text(json.dumps(table.tolist()))
    for name in ("gates.npy", "gates.json"):
        request = make_request(
            **GOOD, arms=["gates"], options={"gates": {"file": str(tmp_path / name)}}
        )
        assert request.set_up("gates").computed_steps == tuple(range(0, 20, 2))
    with pytest.raises(ValueError, match="for 20 steps, not 10"):
        make_request(
            **GOOD, steps=10, arms=["gates"], options={"gates": {"file": f"{tmp_path}/gates.npy"}}
        )
    np.save(tmp_path / "numbers.npy", np.ones((20, 3)))
    with pytest.raises(ValueError, match="float64"):
        make_request(**GOOD, arms=["gates"], options={"gates": {"file": f"{tmp_path}/numbers.npy"}})


def test_every_preset_is_a_request():
    for spec in MODELS.values():
        for preset in spec.presets.values():
            subject = {"class_label": 0} if takes_class(spec.id) else {"prompt": "a prompt"}
            request = make_request(spec.id, **subject, preset=preset.id, stride=2)
            assert (request.steps, request.cache) == (preset.steps, preset.cache)
            assert Preset.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset


VIDEO = {"model": "open-sora-1.2", "prompt": "a waterfall"}


@pytest.mark.parametrize(
    "asked, size",
    [
        ({}, (480, 854, 51)),
        ({"frames": 17}, (480, 854, 17)),
        ({"resolution": "144p"}, (144, 256, 51)),
        ({"aspect": "16:9", "frames": 1}, (854, 480, 1)),
        ({"resolution": "720p", "aspect": "1:1", "steps": 20}, (960, 960, 51)),
    ],
)
def test_videos_of_a_size_that_is_chosen(asked, size):
    request = make_request(**VIDEO, **asked)
    assert request.size == VideoSize(*size, fps=24.0)
    height, width, frames = size
    assert request.cost == height * width * frames * request.steps <= request.spec.max_cost


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"frames": 0}, ["frames", "1 to 408", "0"]),
        ({"frames": 51.0}, ["frames", "51.0"]),
        ({"resolution": "8k"}, ["unknown resolution '8k'", "480p"]),
        ({"aspect": "5:4"}, ["unknown aspect ratio '5:4'", "9:16"]),
        (
            {"frames": 204},
            ["204 frames of 854 × 480 pixels in 30 steps are 1.20 times", "25 steps"],
        ),
        (
            {"steps": 100, "frames": 408},
            ["8.00 times what Open-Sora", "take 12 steps", "resolution"],
        ),
        ({"resolution": "720p", "steps": 100}, ["lower resolution"]),
    ],
)
def test_sizes_that_are_not_allowed_say_what_to_do(asked, words):
    with pytest.raises(ValueError) as error:
        make_request(**VIDEO, **asked)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("asked", [{"frames": 17}, {"resolution": "480p"}, {"aspect": "1:1"}])
def test_models_of_one_size_refuse_others(asked):
    for model in ("scenes-t2i", "scenes-t2v", "pixart-256"):
        with pytest.raises(ValueError, match="makes one size only: leave out frames"):
            make_request(model, "a red cube", **asked)


def test_a_host_may_lower_the_ceiling():
    asked = {"prompt": "a matte red cube on grass at noon", "seed": 0}
    half = replace(Settings.from_environment({}), ceiling=0.5)
    assert make_request("scenes-t2i", steps=50, environment=half, **asked).steps == 50
    assert make_request("scenes-t2i", steps=51, **asked).steps == 51
    with pytest.raises(
        ValueError, match=r"1\.02 times what .* may take .*: take 50 steps or fewer"
    ):
        make_request("scenes-t2i", steps=51, environment=half, **asked)


def test_a_models_own_size_is_within_its_ceiling():
    for spec in MODELS.values():
        assert spec.max_cost >= pixels_of(spec.size) * spec.steps
    spec = find_model("scenes-t2i")
    assert spec.max_cost == 128 * 128 * spec.max_steps
    assert make_request(**GOOD, steps=spec.max_steps).cost == spec.max_cost
