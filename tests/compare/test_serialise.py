"""Requests as links, scripts and commands: each makes the same request again."""

import json
import shlex
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tracache.cli.arguments import build_parser
from tracache.cli.main import RUNS, main
from tracache.compare.request import make_request
from tracache.compare.serialise import (
    from_given,
    from_query,
    given_of,
    to_command,
    to_python,
    to_query,
)
from tracache.compare.words import nearness_of

PROMPT = "a shiny red sphere on water at sunset"


def ask(**changes):
    if "model" in changes:
        return make_request(**changes)
    return make_request("scenes-t2i", PROMPT, **{"seed": 3, **changes})


REQUESTS = [
    ask(),
    ask(steps=9, stride=4, max_order=3, last_step=False, guidance_scale=3.5),
    ask(compute=5),
    ask(compute=9, steps=40, stride=4),
    ask(stride="auto", tolerance=0.03, abscissa="log-snr", window=2, arms=["published"]),
    ask(stride="auto", arms=["published", "tracache", "fewer-steps"]),
    ask(criterion="power", exponent=-0.5, spread="per_image", arms=["published"]),
    ask(options={"tracache": {"space": "data", "correct": False, "correct_order": 1}}),
    ask(options={"tracache": {"placement": "measured"}}, compute=6, arms=["tracache", "reuse"]),
    ask(preset="20-6"),
    ask(arms=["tracache", "toca", "fewer-steps"], options={"toca": {"ratio": 0.5, "interval": 2}}),
    ask(scheduler="ddim", arms=["reuse"], space="modules", local_extrapolation=True),
    ask(model="scenes-class", class_label="red cube", seed=0),
    ask(model="open-sora-1.2", prompt="a waterfall", seed=2, frames=17, aspect="3:4"),
    ask(model="open-sora-1.2", prompt="a waterfall", seed=2, resolution="240p", steps=9),
    ask(model="scenes-t2v", prompt="a red cube slides to the left on sand", seed=1, stride=2),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_link_makes_the_same_request(request_):
    assert from_given(from_query(to_query(given_of(request_)))) == request_


def test_steps_chosen_one_by_one_survive_a_link():
    request = ask(full_steps=(0, 3, 9))
    assert from_given(from_query(to_query(given_of(request)))) == request


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_command_makes_the_same_request(request_, monkeypatch, tmp_path):
    words = shlex.split(to_command(given_of(request_)))
    assert words[:3] == ["python", "-m", "tracache"]
    made = []

    def note(request, settings):
        """Stands where the request is there and nothing has been spent on it yet."""
        made.append(request)
        raise InterruptedError

    monkeypatch.setattr("tracache.cli.main._load", lambda args: None)
    monkeypatch.setattr("tracache.cli.main.estimate", note)
    monkeypatch.chdir(tmp_path)
    args = build_parser(RUNS).parse_args(words[3:])
    with pytest.raises(InterruptedError):
        args.run(args)
    assert made == [request_]


def test_a_script_never_prints_infinity():
    assert "nearness_of(arm)" in to_python(given_of(ask()))
    assert nearness_of(SimpleNamespace(psnr=float("inf"))) == "the same"


def test_a_command_runs_as_pasted(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(to_command(given_of(ask(steps=3))))
    assert main(words[3:]) == 0
    image = Image.open(tmp_path / "out" / "tracache.png")
    assert image.size == (128, 128)
    assert from_given(from_query(image.text["tracache-recipe"])) == ask(steps=3)
    assert json.loads(image.text["tracache-figures"])["num_steps"] == 3


def test_a_script_runs_as_pasted(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(to_python(given_of(ask(steps=3, arms=["reuse", "fewer-steps"]))), names)
    assert names["request"] == ask(steps=3, arms=["reuse", "fewer-steps"])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "fewer-steps.png",
        "full.png",
        "orders.html",
        "report.json",
        "reuse.png",
        "steps-fewer-steps.webp",
        "steps-full.webp",
        "steps-reuse.webp",
    ]
    assert "Full compute" in capsys.readouterr().out


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40))
@example("BLOCK")
def test_any_prompt_survives_link_command_and_script(prompt):
    request = make_request("scenes-t2i", prompt, seed=0)
    # Near words are understood before anything is written: a block is a cube.
    assert prompt == (request.asked or request.prompt)
    given = given_of(request)
    assert from_query(to_query(given)) == given
    assert f"--prompt={request.prompt}" in shlex.split(to_command(given))
    assert repr(request.prompt) in to_python(given)


@pytest.mark.parametrize(
    "query, words",
    [
        ("model=scenes-t2i&stride=two", "stride in the link must be a whole number, got 'two'"),
        ("model=scenes-t2i&colour=red", "the link says colour, which is not a setting"),
        ("model=scenes-t2i&prompt=x&last_step=yes", "last_step in the link must be 0 or 1"),
        ("model=scenes-t2i&prompt=x&toca.ratio=big", "toca.ratio in the link must be a number"),
        ("model=scenes-t2i&prompt=x&arms=magic", "unknown arm 'magic'"),
        ("model=scenes-t2i&prompt=x&weights=1", "the link says weights"),
        ("prompt=x", "names no model"),
        ("model=../../etc&prompt=x", "unknown model"),
        ("model=scenes-t2i&prompt=x&stride=999", "stride must be a whole number from 1"),
    ],
)
def test_a_link_that_is_wrong_says_what(query, words):
    with pytest.raises(ValueError) as error:
        from_given(from_query(query))
    assert words in str(error.value)


def test_the_pages_own_parameters_are_passed_over():
    assert from_query("__theme=dark&seed=1") == {"seed": 1}
