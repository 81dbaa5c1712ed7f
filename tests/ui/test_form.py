"""What the controls hold, whatever a program puts there, and back again."""

import math

import pytest

from tracache.compare.request import make_request
from tracache.compare.serialise import from_given, from_query, given_of, to_query
from tracache.models.registry import find_model
from tracache.settings import Settings
from tracache.ui.form import fill_controls, read_request
from tracache.ui.sweep_page import COLUMNS, SWEPT, budgets, make_places
from tracache.ui.widgets.options import PLACES, show_options

PROMPT = "a matte blue cube on snow in daylight"
GOOD = fill_controls(make_request("scenes-t2i", PROMPT, seed=3))


def own(arm, **given):
    """What the controls hold when an arm is chosen and something of its own is set."""
    spec = find_model("scenes-t2i")
    return {"arm": arm, **{p: show_options(p, arm, spec, {arm: given}) for p in PLACES}}


REQUESTS = [
    make_request("scenes-t2i", PROMPT, seed=3),
    make_request("scenes-t2i", PROMPT, seed=3, stride=5, max_order=4, steps=9, window=3),
    make_request("scenes-t2i", PROMPT, seed=3, compute=5, stride=4, arms=["published", "tracache"]),
    make_request(
        "scenes-t2i",
        PROMPT,
        seed=3,
        compute=6,
        options={"tracache": {"space": "velocity", "correct": False, "correct_order": 3}},
    ),
    make_request("scenes-t2i", PROMPT, seed=3, preset="20-6", reuse_baseline=True),
    make_request(
        "scenes-t2i", PROMPT, seed=3, stride="auto", tolerance=0.05, arms=["published", "tracache"]
    ),
    make_request("scenes-t2i", PROMPT, seed=3, arms=["tracache", "reuse", "fewer-steps"]),
    make_request("scenes-class", class_label="blue cone", seed=3, scheduler="deis"),
    make_request("scenes-t2v", "a red cube slides to the left on sand", seed=3, arms=["pab"]),
]


@pytest.mark.parametrize("made", REQUESTS)
def test_controls_filled_from_a_request_make_it_again(made):
    again = read_request(fill_controls(made))
    assert given_of(again) == given_of(made)
    assert all(again.set_up(arm, computed=5) == made.set_up(arm, computed=5) for arm in made.arms)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"stride": 0, "when": "stride"}, "stride must be a whole number from 1 to 50, got 0"),
        ({"stride": 2.5}, "got 2.5"),
        ({"stride": True}, "got True"),
        ({"stride": math.nan}, "stride must be a whole number"),
        ({"max_order": 9}, "9"),
        ({"max_order": [2]}, "max_order must be a whole number"),
        ({"seed": None}, "seed is empty: enter a number, or randomise it"),
        ({"seed": -1}, "-1"),
        ({"steps": math.inf}, "steps must be a whole number from 1 to 100, got inf"),
        ({"guidance_scale": "3"}, "guidance_scale must be a number"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": {"x": 1}}, "the prompt is empty"),
        ({"prompt": "x" * 10_000}, "shorten it to 300"),
        ({"model": "sdxxl"}, "unknown model 'sdxxl'"),
        ({"model": ["scenes-t2i"]}, "unknown model"),
        ({"scheduler": "../x"}, "scheduler"),
        ({"arm": "magic"}, "magic"),
        ({"arm": "gates"}, "not on the page"),
        ({"also": ["gates"]}, "not on the page"),
        ({"also": "reuse"}, "also must be a list"),
        ({"arm": "toca", "also": ["toca"]}, "ToCa is chosen already: compare it with another arm"),
        ({"also": ["reuse", "pab", "toca"]}, "compare with two more at most"),
        (own("toca", ratio=7), "ratio"),
        ({"criterion": "power", "exponent": 0}, "exponent must be 0.2 to 1 in size"),
        ({"preset": "best"}, "best"),
        ({"compute": 0}, "compute must be a whole number from 1 to 1000, got 0"),
        ({"compute": 2.5}, "got 2.5"),
        ({"when": "sometimes"}, "when must be one of compute, stride, auto"),
        ({"when": "auto"}, "choose TraCache, as published, too"),
        (own("tracache", space="blocks"), "TraCache: space must be one of"),
        (own("tracache", correct="yes"), "TraCache: correct must be"),
        (own("tracache", correct_order=4), "TraCache: correct_order must be"),
        ({"reuse_baseline": "yes"}, "reuse_baseline"),
    ],
)
def test_bad_input_is_refused_with_a_message(change, words):
    with pytest.raises(ValueError) as error:
        read_request({**GOOD, **change})
    assert words in str(error.value)


def test_an_empty_setting_is_the_arms_default():
    wanted = read_request({**GOOD, **own("toca", ratio=None)})
    assert wanted.set_up("toca") == make_request("scenes-t2i", PROMPT, arms=["toca"]).set_up("toca")


@pytest.mark.parametrize("held", [None, "x", {"given": [1]}, {"given": {"toca": "x"}}])
def test_what_is_no_setting_of_an_arm_is_its_default(held):
    values = {**GOOD, "arm": "toca", "options": held}
    assert read_request(values).options == {}


def test_what_is_set_of_another_arm_is_kept_out_of_the_request():
    values = {**GOOD, **own("toca", ratio=0.5), "arm": "pab"}
    assert read_request(values).options == {}


def test_a_seed_is_drawn_where_asked():
    seeds = {read_request({**GOOD, "seed": None, "randomise": True}).seed for _ in range(4)}
    assert len(seeds) == 4


def test_what_only_videos_know_is_left_out_for_images():
    values = {**GOOD, **own("pab", temporal_range=5)}
    assert "pab" not in read_request(values).options


@pytest.mark.parametrize(
    "model, subject, steps",
    [("scenes-t2i", PROMPT, 8), ("scenes-class", "red cube", 50), ("scenes-t2v", "a red cube", 30)],
)
def test_a_sweep_asks_for_every_cell_once_at_equal_work(model, subject, steps):
    rows = budgets(steps, SWEPT)
    settings = Settings.from_environment()
    places = make_places(model, subject, 0, steps, rows[::-1], list(COLUMNS), settings)
    assert [(p.computed, p.arm) for p in places] == [(n, arm) for n in rows for arm in COLUMNS]
    assert [p.request.arms[1] for p in places] == [p.arm for p in places]
    # As many steps compute all along a row, whatever the arm.
    for place in places:
        assert place.request.set_up(place.arm).num_computed == place.computed
    assert all(from_given(from_query(to_query(given_of(p.request)))).set_up(p.arm) for p in places)


def test_rows_of_a_sweep_are_of_the_runs_steps():
    assert budgets(20) == [4, 5, 6, 8, 10, 12]
    assert budgets(4) == [2]


@pytest.mark.parametrize(
    "given, words",
    [
        ((PROMPT, 0, 8, [], ["reuse"]), "choose a number of computed steps"),
        ((PROMPT, 0, 8, [3], []), "and a method at least"),
        ((PROMPT, 0, 8, [9], ["reuse"]), "computed steps must be a whole number from 1 to 8"),
        ((PROMPT, 0, 8, [3], ["gates"]), "among those on the page"),
        ((PROMPT, 0, 8, list(range(1, 9)), ["reuse"]), "among those on the page"),
        (("", 0, 8, [3], ["reuse"]), "the prompt is empty"),
        ((PROMPT, 0.5, 8, [3], ["reuse"]), "seed must be a whole number"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(given, words):
    with pytest.raises(ValueError) as error:
        make_places("scenes-t2i", *given, Settings.from_environment())
    assert words in str(error.value)


def test_a_number_that_the_page_has_not_followed_yet_is_what_it_would_have_followed_to():
    made = read_request({**GOOD, "steps": 4, "compute": 8})
    assert (made.steps, made.cache.compute) == (4, 2)
    assert read_request({**GOOD, "steps": 4, "compute": 4}).cache.compute == 4
