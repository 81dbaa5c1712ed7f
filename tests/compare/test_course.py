"""Courses: what runs took the picture for at every step, and that keeping it is nearly free."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from tracache.caching.spaces import Level
from tracache.compare.comparison import run
from tracache.compare.course import (
    MOST_BYTES,
    TILE,
    Course,
    Estimates,
    Recorder,
    align,
    describe_courses,
    distances,
    make_courses,
    make_sheet,
    parting,
)
from tracache.compare.preview import Glimpse, Palette
from tracache.compare.request import make_request
from tracache.models.loading import load_model

#: A noisy step's: x = 0.6 x̂0 + 0.8 ε̂.
NOISY = Level(0.6, 0.8)


def glimpse(step, level=NOISY, size=4):
    sample = torch.full((1, 2, size, size), float(step))
    return Glimpse(sample, torch.ones(1, 2, size, size), 900.0 - step, level, "epsilon")


def test_runs_of_other_lengths_are_held_where_they_are_as_far():
    assert align([9, 6, 3, 0], [9, 6, 3, 0]) == (0, 1, 2, 3)
    # Never a step that is ahead; before its first step there is only that.
    assert align([9, 6, 3, 0], [9, 4, 0]) == (0, 0, 1, 2)
    assert align([9, 6], [7, 6]) == (0, 1)
    # Schedulers that take some timesteps twice.
    assert align([9, 6, 6, 0], [9, 6, 6, 0]) == (0, 1, 2, 3)


def test_distances_are_relative():
    full = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    own = full + torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]])
    assert distances(own, full) == pytest.approx([0.0, 0.5])


def test_a_recorder_turns_glimpses_into_estimates_when_it_is_over():
    recorder = Recorder(3)
    for step in range(3):
        recorder.note(glimpse(step), step == 1)
    found = recorder.finish()
    assert found.timesteps == (900.0, 899.0, 898.0)
    assert found.computed == (False, True, False)
    # ε̂ is 1.
    assert torch.allclose(found.latents[:, 0, 0, 0], (torch.arange(3.0) - 0.8) / 0.6)
    assert recorder.finish() is None


def test_what_is_too_large_or_unknown_is_left_out():
    large = Recorder(MOST_BYTES // (2 * 2 * 32 * 32 * 4) + 1)
    large.note(glimpse(0, size=32), True)
    assert large.finish() is None
    # A small part of a large tensor keeps all of it.
    part = Recorder(2)
    whole = torch.zeros(MOST_BYTES // 8 + 1, 2, 1, 1)
    part.note(Glimpse(whole[:1], whole[:1], 1.0, Level(1.0, 1.0), "sample"), True)
    assert part.finish() is None
    strange = replace(glimpse(0), prediction="strange")
    overflow = replace(glimpse(0), sample=torch.full((1, 2, 4, 4), torch.inf))
    for odd in (glimpse(0, level=None), strange, overflow):
        unknown = Recorder(1)
        unknown.note(odd, True)
        assert unknown.finish() is None


def test_a_sheet_has_a_tile_for_each_step():
    pictures = [Image.new("RGB", (4, 2), (20 * i, 0, 0)) for i in range(12)]
    sheet = make_sheet(pictures)
    assert sheet.size == (10 * TILE, 2 * TILE // 2)
    assert sheet.getpixel((TILE + 5, TILE // 2 + 5)) == (220, 0, 0)


def test_without_full_compute_there_is_nothing_to_hold_against():
    own = Estimates((1.0,), (True,), torch.zeros(1, 2, 2, 2))
    assert make_courses({"tracache": own}, {}, SimpleNamespace()) == ()


def course(title, away):
    steps = tuple(range(len(away)))
    sheet = Image.new("RGB", (1, 1))
    return Course(title, title, steps, (True,) * len(away), steps, tuple(away), sheet)


def test_where_they_part_is_said():
    one, same = course("One", [0.0, 0.25, 0.125]), course("Other", [0.0, 0.0, 0.0])
    assert parting(one) == 1
    assert describe_courses([course("full", [0.0]), one, same]) == (
        "One parts most from full compute at step 2 of 3, by 25.0%, and ends 12.5% away. "
        "Other never parts from full compute."
    )


def test_a_comparison_keeps_the_course_of_every_arm():
    model = load_model("scenes-t2i")
    ask = {"seed": 2, "steps": 6, "compute": 3, "arms": ["tracache", "fewer-steps"]}
    request = make_request("scenes-t2i", "a matte blue cube on snow in daylight", **ask)
    report = run(model, request)
    full, fast, fewer = report.courses
    assert full.distances == (0.0,) * 6
    assert full.computed == (True,) * 6
    assert sum(fast.computed) == 3
    # The first step is computed from the same noise; the last estimate is what is decoded.
    assert fast.distances[0] == pytest.approx(0, abs=1e-6)
    assert fast.distances[-1] == pytest.approx(report.arms[1].latent_error, rel=1e-3)
    assert fewer.distances[-1] == pytest.approx(report.arms[2].latent_error, rel=1e-3)
    assert (len(fewer.timesteps), len(fewer.steps)) == (3, 6)
    assert fast.sheet.size == (6 * TILE, TILE)
    # Full compute's own is kept with its picture.
    again = run(model, make_request("scenes-t2i", request.prompt, **ask, reuse_baseline=True))
    assert again.arms[0].reused
    assert again.courses == report.courses
    assert not run(model, make_request("scenes-t2i", request.prompt, **ask, trace=False)).courses


def test_latents_that_are_shown_are_enlarged_smoothly():
    latents = torch.zeros(1, 1, 2, 2)
    latents[0, 0, 0, 0] = 1.0
    palette = Palette(torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    levels = {pixel[0] for _, pixel in make_sheet([palette.render(latents)]).getcolors(TILE**2)}
    assert len(levels) > 20
