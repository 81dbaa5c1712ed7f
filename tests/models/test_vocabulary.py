"""Near words are read as the nearest of the grammar, and nothing else is touched."""

from pathlib import Path

import pytest

from tracache.compare.request import make_request
from tracache.models.vocabulary import load_vocabulary
from tracache.settings import assets_folder
from tracache.training.render.clips import Clip
from tracache.training.render.scenes import Scene, read_prompts

SCENES = load_vocabulary(assets_folder() / "scenes-t2i")
CLIPS = load_vocabulary(assets_folder() / "scenes-t2v")


@pytest.mark.parametrize(
    "written, read",
    [
        (
            "A glossy crimson ball by the lake, in the evening",
            "a shiny red sphere on water at sunset",
        ),
        (
            "the matt golden box above a polished navy pillar in the snow by day",
            "a matte yellow cube on top of a shiny blue cylinder on snow in daylight",
        ),
        (
            "a shiny red cube to the left of a dull white cone on a meadow in the dark",
            "a shiny red cube left of a matte white cone on grass at night",
        ),
    ],
)
def test_what_people_write_becomes_a_caption(written, read):
    assert SCENES.understand(written) == read
    assert Scene.from_caption(read).caption == read


@pytest.mark.parametrize(
    "written, read",
    [
        ("the red ball rolling leftwards on the beach", "a red sphere rolls to the left on sand"),
        (
            "a pink box circles anti-clockwise around a blue pillar on the lawn",
            "a pink cube orbits counterclockwise around a blue cylinder on grass",
        ),
    ],
)
def test_so_does_what_people_write_of_motion(written, read):
    assert CLIPS.understand(written) == read
    assert Clip.from_caption(read).caption == read


@pytest.mark.parametrize(
    "vocabulary, names",
    [(SCENES, ("heldout.txt", "tuning.txt")), (CLIPS, ("clips-heldout.txt", "clips-tuning.txt"))],
)
def test_captions_stay_as_they_are(vocabulary, names):
    for caption in (caption for name in names for caption in read_prompts(name)):
        assert vocabulary.understand(caption) == caption


@pytest.mark.parametrize("vocabulary", [SCENES, CLIPS])
def test_no_near_word_is_a_word_of_the_grammar_or_near_two(vocabulary):
    near = [word for words in vocabulary.near.values() for word in words]
    assert len(near) == len(set(near))
    assert not set(near) & set(vocabulary.phrases)
    for word, others in vocabulary.near.items():
        for other in others:
            assert vocabulary.understand(other) == word


def test_what_is_not_near_stays_and_is_named():
    read = SCENES.understand("A violet cat, on Mars")
    assert read == "a purple cat on mars"
    assert SCENES.split(read)[1] == ["cat", "mars"]
    assert SCENES.understand("A Purple cat, on Mars") == "A Purple cat, on Mars"


def test_a_request_says_what_was_written_and_holds_what_is_read():
    """So that a link, a script and a command made of it give the same picture anywhere."""
    request = make_request("scenes-t2i", "a crimson ball on the lake")
    assert (request.prompt, request.asked) == (
        "a red sphere on water",
        "a crimson ball on the lake",
    )
    plain = make_request("scenes-t2i", "A red  sphere on water")
    assert (plain.prompt, plain.asked) == ("A red sphere on water", "")
    stock = make_request("flux.1-dev", "a crimson ball on the lake")
    assert (stock.prompt, stock.asked) == ("a crimson ball on the lake", "")


def test_a_model_without_a_grammar_reads_whatever_is_written(tmp_path):
    assert load_vocabulary(Path(tmp_path)) is None
