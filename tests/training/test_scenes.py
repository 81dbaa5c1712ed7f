"""The caption grammar and the committed prompt lists."""

import random

import pytest

from tracache.training.render.scenes import (
    FLAT_TOPS,
    Object,
    Scene,
    excluded_captions,
    make_prompt_lists,
    read_prompts,
    sample_scene,
    sample_scenes,
    vocabulary,
)


def test_captions_read_as_in_the_documentation():
    single = Scene(Object("shiny", "red", "sphere"), "water", "at sunset")
    assert single.caption == "a shiny red sphere on water at sunset"
    pair = Scene(
        Object("matte", "yellow", "cone"),
        "snow",
        "in daylight",
        "left of",
        Object("shiny", "blue", "cube"),
    )
    assert pair.caption == "a matte yellow cone left of a shiny blue cube on snow in daylight"


def test_caption_and_scene_are_inverse():
    rng = random.Random(3)
    for i in range(500):
        scene = sample_scene(rng, pair=i % 2 == 0)
        assert Scene.from_caption(scene.caption) == scene
        assert Scene.from_caption(f"  {scene.caption.upper()} ") == scene


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a red sphere on grass at night",
        "a shiny red sphere on lava at night",
        "a shiny red sphere on top of a matte blue cone on grass at night",
        "a shiny red sphere left of on grass at night",
    ],
)
def test_other_sentences_are_refused(text):
    with pytest.raises(ValueError):
        Scene.from_caption(text)


def test_sampling_is_seeded_and_things_stand_on_flat_tops_only():
    scenes = sample_scenes(400, seed=5)
    assert scenes == sample_scenes(400, seed=5)
    assert scenes != sample_scenes(400, seed=6)
    stacked = [s for s in scenes if s.relation == "on top of"]
    assert stacked
    assert all(s.second.solid in FLAT_TOPS for s in stacked)


def test_committed_lists_come_from_the_seeded_command():
    lists = make_prompt_lists()
    for name, captions in lists.items():
        assert read_prompts(name) == captions
    heldout, tuning = (set(lists[name]) for name in ("heldout.txt", "tuning.txt"))
    assert (len(heldout), len(tuning)) == (256, 64)
    assert not heldout & tuning
    assert sum(Scene.from_caption(c).is_pair for c in heldout) == 96
    assert sum(Scene.from_caption(c).is_pair for c in tuning) == 24


def test_training_never_sees_the_held_out_captions():
    from tracache.training.images import data

    banned = excluded_captions()
    assert len(banned) == 320
    scenes = data.training_scenes(20_000, seed=1)
    assert not banned & {scene.caption for scene in scenes}
    # The exclusion has something to exclude: drawn freely, such captions do come up.
    assert banned & {scene.caption for scene in sample_scenes(2000, seed=1)}


def test_vocabulary_holds_every_word_of_a_caption():
    words = set(vocabulary())
    for scene in sample_scenes(200, seed=2):
        assert set(scene.caption.split()) <= words
