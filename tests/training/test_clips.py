"""Clips: their grammar, their paths, what is read off tracks, and the judge on renders."""

import json

import numpy as np
import pytest
import torch

from tracache.metrics.judges.tracks import Track, hops, jump, motion, sweep, travel
from tracache.training.render.clips import (
    CENTRES,
    COLOURS,
    DIRECTIONS,
    MOTIONS,
    MOVERS,
    PROMPT_LISTS,
    Clip,
    Thing,
    grammar,
    make_prompt_lists,
    sample_clips,
    vocabulary,
)
from tracache.training.render.motion import FRAMES, centres, layout, project, spin
from tracache.training.render.scenes import excluded_captions, read_prompts


def test_captions_are_read_back():
    clips = sample_clips(500, seed=3)
    assert all(Clip.from_caption(clip.caption) == clip for clip in clips)
    assert {(clip.verb, clip.direction) for clip in clips} == set(MOTIONS)
    words = set(vocabulary())
    assert all(set(clip.caption.split()) <= words for clip in clips)


@pytest.mark.parametrize(
    "caption",
    [
        "a red ring slides to the left on grass",  # rings roll
        "a red cube slides clockwise on grass",
        "a red cube orbits clockwise on grass",  # around what?
        "a red cube orbits clockwise around a red cone on grass",  # one colour
        "a red cube slides to the left around a blue cone on grass",
        "a red cube slides on grass",
        "a red cube slides to the left on the moon",
    ],
)
def test_what_is_no_caption_is_refused(caption):
    with pytest.raises(ValueError):
        Clip.from_caption(caption)


def test_training_never_sees_what_is_held_out():
    from tracache.training.clips import data as clip_data

    held_out = excluded_captions(PROMPT_LISTS)
    assert len(held_out) == 80
    seen = {clip.caption for clip in clip_data.training_clips(6000)}
    assert not seen & held_out


def test_committed_lists_are_the_drawn_ones_with_all_motions_equally_often():
    lists = make_prompt_lists()
    for name in PROMPT_LISTS:
        captions = read_prompts(name)
        assert captions == lists[name]
        clips = [Clip.from_caption(caption) for caption in captions]
        counts = [sum((c.verb, c.direction) == told for c in clips) for told in MOTIONS]
        assert len(set(counts)) == 1
    assert not set(lists[PROMPT_LISTS[0]]) & set(lists[PROMPT_LISTS[1]])


def test_grammar_is_plain_data():
    assert json.loads(json.dumps(grammar())) == grammar()


def every_motion():
    for verb, ways in DIRECTIONS.items():
        for way in ways:
            for solid in MOVERS[verb]:
                centre = Thing("blue", CENTRES[0]) if verb == "orbits" else None
                yield Clip(Thing("red", solid), verb, way, "sand", centre)


@pytest.mark.parametrize("clip", list(every_motion()), ids=lambda clip: clip.caption)
def test_laid_out_clips_move_as_told_and_stay_in_the_picture(clip):
    for seed in range(5):
        rows = layout(clip, seed)
        assert rows.shape == (FRAMES, len(clip.things), 12)
        places = centres(clip, rows)
        assert places.min() > 0.05
        assert places.max() < 0.95
        stripe = spin(rows)[:, 0]
        tracks = [Track("red", clip.mover.solid, places[:, 0])]
        if clip.verb == "rolls":
            tracks = [Track("red", clip.mover.solid, places[:, 0], stripe)]
        else:
            assert np.isnan(stripe).all()
        if clip.centre:
            tracks.append(Track("blue", clip.centre.solid, places[:, 1]))
        found = motion(tracks)
        assert (found.colour, found.verb, found.direction) == ("red", clip.verb, clip.direction)
        assert found.travel > 0.2 or found.degrees > 250
        assert found.jump < 0.2


def test_the_same_seed_places_alike_and_another_does_not():
    clip = Clip.from_caption("a red cube slides to the left on sand")
    np.testing.assert_array_equal(layout(clip, 4), layout(clip, 4))
    assert (layout(clip, 4) != layout(clip, 5)).any()


def test_the_right_of_the_world_is_the_right_of_the_picture():
    low, high, right = project(np.array([[0.0, 0, 0], [0, 1, 0], [1, 0, 0]]))
    assert low[0] == pytest.approx(0.5)
    assert high[1] < low[1]
    assert right[0] > low[0]


def straight(start, end, frames=17):
    return np.stack([np.linspace(start, end, frames), np.full(frames, 0.5)], 1)


def circle(degrees, radius=0.3, squash=0.47, frames=17):
    angle = np.radians(np.linspace(0, degrees, frames))
    return 0.5 + np.stack([radius * np.cos(angle), squash * radius * np.sin(angle)], 1)


def test_travel_and_jump():
    assert travel(straight(0.2, 0.8)) == pytest.approx(0.6, abs=0.05)
    assert travel(straight(0.8, 0.2)) < 0
    assert jump(straight(0.2, 0.84)) == pytest.approx(0.04)
    leap = straight(0.2, 0.2)
    leap[9:, 0] = 0.7
    assert jump(leap) == pytest.approx(0.5)


def test_hops_are_counted_and_trembling_is_not():
    t = np.linspace(0, 1, 33)
    up = 0.2 * np.abs(np.sin(3 * np.pi * t))
    track = straight(0.2, 0.8, 33)
    assert hops(track - np.stack([0 * t, up], 1)) == 3
    assert hops(track - np.stack([0 * t, up / 10], 1)) == 0


@pytest.mark.parametrize("degrees", [300, -300, 100, -45])
def test_orbits_are_measured_in_degrees(degrees):
    assert sweep(circle(degrees), straight(0.5, 0.5)) == pytest.approx(degrees, abs=1e-6)


def test_motions_are_named():
    still = Track("blue", "cube", straight(0.5, 0.5))
    assert motion([still]).verb == "rests"
    around = motion([still, Track("red", "cone", circle(-200))])
    assert (around.colour, around.verb) == ("red", "orbits")
    assert around.direction == "counterclockwise"
    rolling = np.linspace(0, 4, 17)
    for stripe, verb in ((rolling, "rolls"), (-rolling, "slides"), (None, "slides")):
        found = motion([Track("red", "sphere", straight(0.2, 0.8), stripe)])
        assert (found.verb, found.direction) == (verb, "to the right")
    with pytest.raises(ValueError):
        motion([])


def test_verdicts():
    from tracache.training.clips.judge import verdict

    clip = Clip.from_caption("a red cube slides to the right on sand")
    good = Track("red", "cube", straight(0.2, 0.8))
    assert all(verdict(clip, [good]).values())
    for bad, wrong in (
        (Track("red", "cube", straight(0.8, 0.2)), {"motion", "all"}),
        (Track("red", "cube", straight(0.4, 0.52)), {"motion", "all"}),
        (Track("red", "cone", good.places), {"solid", "colour_and_solid", "all"}),
        (Track("blue", "cube", good.places), {"colour", "colour_and_solid", "motion", "all"}),
    ):
        found = verdict(clip, [bad])
        assert {key for key, right in found.items() if not right} == wrong
    extra = verdict(clip, [good, Track("blue", "cube", straight(0.5, 0.5))])
    assert not extra["colour"]
    assert not any(verdict(clip, []).values())


def test_rendered_clips_are_judged_right():
    from tracache.metrics.judges.clips import load_judge
    from tracache.training.clips.data import render_clips
    from tracache.training.clips.judge import score

    told = read_prompts(PROMPT_LISTS[1])[: len(MOTIONS)]  # each motion once
    clips = [Clip.from_caption(caption) for caption in told]
    frames = render_clips(clips, seed=77)
    assert frames.shape == (len(clips), FRAMES, 64, 64, 3)
    np.testing.assert_array_equal(render_clips(clips[3:4], seed=80)[0], frames[3])
    judge = load_judge()
    assert score(clips, frames, judge)["all"]["all"] >= 95.0
    backwards = score(clips, frames[:, ::-1], judge)["all"]
    assert backwards["colour_and_solid"] >= 95.0
    assert backwards["motion"] == 0.0
    still = np.repeat(frames[:, :1], FRAMES, axis=1)
    assert score(clips, still, judge)["all"]["motion"] == 0.0


def test_truth_hides_what_is_hidden_and_knows_the_rest():
    from tracache.training.clips.judge import truth

    found = truth(Clip.from_caption("a red sphere orbits clockwise around a blue cone on sand"), 3)
    red, blue = COLOURS.index("red"), COLOURS.index("blue")
    known = ~torch.isnan(found.present)
    assert 0 < (~known[:, red]).sum() < FRAMES // 2
    assert (found.present[known[:, red], red] == 1).all()
    assert (found.present[:, COLOURS.index("green")] == 0).all()
    assert known[0, [red, blue]].all()
