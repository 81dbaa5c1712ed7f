"""Requests: defaults from the model, and everything that is refused."""

import math

import pytest

from tracache import TraCacheConfig
from tracache.methods import METHODS, Plan, find_method
from tracache.models.registry import MODELS, find_model
from tracache.request import make_request

GOOD = {"model": "scenes-t2i", "prompt": "a shiny red sphere on water at sunset"}


def test_defaults_are_the_models():
    request = make_request(**GOOD)
    spec = find_model("scenes-t2i")
    assert (request.steps, request.guidance_scale) == (spec.steps, spec.guidance_scale)
    assert request.cache == spec.cache
    assert request.arms == ("full", "tracache")
    assert 0 <= request.seed < 2**32


def test_full_compute_comes_first_and_no_arm_twice():
    request = make_request(**GOOD, arms=["reuse", "tracache", "full", "reuse"])
    assert request.arms == ("full", "reuse", "tracache")


def test_white_space_of_the_prompt_is_tidied():
    assert make_request("scenes-t2i", "  a red \n sphere\t").prompt == "a red sphere"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"model": "sdxl"}, ["unknown model 'sdxl'", "scenes-t2i"]),
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
    ],
)
def test_bad_input_says_what_to_do(change, words):
    with pytest.raises(ValueError) as error:
        make_request(**{**GOOD, **change})
    for word in words:
        assert word in str(error.value)


def test_every_model_is_consistent():
    for spec in MODELS.values():
        for prompt in (*spec.example_prompts, "a prompt"):
            make_request(spec.id, prompt)


@pytest.mark.parametrize("arm", METHODS)
@pytest.mark.parametrize("last_step", [False, True])
def test_arms_meet_at_equal_cost(arm, last_step):
    """Every arm but the reference computes as many full steps as TraCache."""
    config = TraCacheConfig(stride=3, max_order=2, last_step=last_step)
    plan = find_method(arm).plan(20, config)
    assert len(plan.full_steps) == (20 if arm == "full" else 8 if last_step else 7)


def test_arms_differ_in_what_they_should():
    config = TraCacheConfig(stride=4, max_order=3)
    plans = {arm: METHODS[arm].plan(20, config) for arm in METHODS}
    assert plans["full"] == Plan(20)
    assert plans["fewer-steps"] == Plan(5)
    assert (plans["reuse"].cache.rule, plans["taylorseer"].cache.rule) == ("reuse", "taylor")
    assert plans["tracache-fixed"].cache.order == plans["taylorseer"].cache.order == "fixed"
    assert plans["tracache"].cache == config
