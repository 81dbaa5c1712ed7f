"""What the page says: pure functions of reports, progress and prompts."""

import re
from dataclasses import replace

import pytest
from PIL import Image

from tracache.compare.means import Means
from tracache.compare.report import ArmResult
from tracache.compare.rounds import Timing
from tracache.compare.words import verdict_of
from tracache.models.vocabulary import SceneWords, load_vocabulary
from tracache.settings import assets_folder
from tracache.ui.numbers import whole
from tracache.ui.progress import ArmProgress, Progress
from tracache.ui.views.headline import beside, headline
from tracache.ui.views.notes import vocabulary_note
from tracache.ui.views.progress import show_progress
from tracache.ui.views.results import table
from tracache.ui.widgets.builder import ALONE, write_scene

VOCABULARY = SceneWords(
    finishes=("shiny", "matte"),
    colours=("red", "blue"),
    solids=("sphere", "cube"),
    grounds=("water", "snow"),
    times=("at sunset", "in daylight"),
    relations=("left of", "on top of"),
    flat_tops=("cube",),
)

FULL = ArmResult(
    arm="full",
    title="Full compute",
    num_steps=20,
    full_steps=20,
    block_calls=220,
    macs=2_000,
    linear_macs=1_900,
    denoising_s=2.0,
    end_to_end_s=2.25,
    memory_kind="peak process RSS",
    memory_bytes=512 * 2**20,
    speed_up_macs=1.0,
    psnr=float("inf"),
    ssim=1.0,
    latent_error=0.0,
    image=Image.new("RGB", (8, 8)),
    timing=Timing(5, 2.0, 1.0, 1.0, 1.0),
)
FAST = replace(
    FULL,
    arm="tracache",
    title="TraCache",
    full_steps=7,
    denoising_s=0.8,
    speed_up_macs=2.84,
    timing=Timing(5, 0.8, 2.5, 2.42, 2.57),
    psnr=31.23,
    ssim=0.9512,
)


class Finished:
    arms = (
        FULL,
        FAST,
        replace(FAST, title="Once", num_steps=7, timing=Timing(1, 0.8, 2.5, 2.5, 2.5)),
        replace(FAST, title="Quick", timing=Timing(5, 0.7, 2.9, 2.89, 2.91)),
        replace(FAST, title="Slow", timing=Timing(5, 2.4, 0.83, 0.8, 0.85)),
        replace(FAST, title="Lucky", timing=Timing(5, 0.5, 4.8, 4.6, 5.1)),
        replace(FULL, arm="twin", title="Twin", timing=None),
    )
    device, dtype = "Abacus", "float32"


def said(html):
    """The text of lines of HTML, one for each paragraph or item."""
    lines = re.findall(r"<(?:p|li)[^>]*>(.*?)</(?:p|li)>", html)
    return [re.sub(r"<[^>]*>", "", line) for line in lines]


def test_the_result_in_words():
    """What is certain comes first; what the clock says too much or too little of is noise."""
    near = "small differences (31.2 dB)"
    work = "7 of 20 steps computed 2.8× less work"
    assert said(headline(Finished.arms)) == [f"TraCache: {work} 2.5× faster {near}"]
    *rivals, explained = said(beside(Finished.arms))
    assert rivals == [
        f"Once: 7 steps, all computed 2.8× less work about 2.5× faster {near}",
        f"Quick: {work} about 2.9× faster {near}",
        f"Slow: {work} timed as 1.2× slower, which is noise {near}",
        f"Lucky: {work} timed as 4.8× faster, which is noise {near}",
        "Twin: 20 steps, all computed as much work the same picture",
    ]
    assert "from 38 dB on, hard to tell apart" in explained


def test_what_is_said_of_a_result_is_shown_as_text():
    assert said(headline(Finished.arms, "It <kept> red."))[1] == "It &lt;kept&gt; red."
    means = Means(32, "prompts", {"tracache": 44.66, "fewer-steps": 42.9})
    assert said(beside(Finished.arms, means))[-2] == (
        "On average over 32 other prompts, measured beforehand: TraCache 44.7 dB and "
        "Fewer steps 42.9 dB."
    )


@pytest.mark.parametrize(
    "psnr, words",
    [
        (float("inf"), "the same picture"),
        (45.0, "no difference to see"),
        (44.9, "hard to tell apart"),
        (30.0, "small differences"),
        (-3.0, "another picture"),
    ],
)
def test_the_verdict_goes_by_the_decibels(psnr, words):
    assert verdict_of(replace(FAST, psnr=psnr)) == words


def test_the_table_has_a_row_per_arm_and_names_its_memory():
    html = table(Finished)
    assert "Ran on Abacus, float32" in html
    assert "medians of 5 rounds" in html
    assert "reused" not in html
    assert "Peak process RSS" in html
    rows = re.findall(r"<tr role=\"row\"><th scope=\"row\".*?>(.*?)</th>(.*?)</tr>", html)
    cells = {name: re.findall(r"<td.*?>(.*?)</td>", row) for name, row in rows}
    assert cells["Full compute"] == [
        *("20 of 20", "1.00×", "1.00×", "2.00 s", "2.25 s", "512 MiB", "—", "1.000")
    ]
    assert cells["TraCache"] == [
        *("7 of 20", "2.84×", '2.50×<small class="tc-quiet">2.42–2.57×</small>'),
        *("0.80 s", "2.25 s", "512 MiB", "31.2 dB", "0.951"),
    ]
    assert cells["Once"][2].startswith("about 2.50×")
    assert cells["Lucky"][2].startswith("4.80× (noise)")
    assert cells["Twin"][2] == "—"


def test_a_baseline_that_could_not_be_timed_says_why_there_is_no_speed_up():
    class Reused(Finished):
        arms = (replace(FULL, reused=True, timing=None), replace(FAST, timing=None))

    assert "a speed-up would need both in one run" in table(Reused)
    assert "faster" not in headline(Reused.arms) + beside(Reused.arms)


def test_the_strip_fills():
    progress = Progress(
        [ArmProgress("x", "TraCache", 6, [True, False, False, True], elapsed_s=1.25)], "Running <b>"
    )
    html = show_progress(progress)
    strip = html.split('class="tc-strip"')[1].split("</span>")[0]
    kinds = re.findall(r'class="tc-cell( tc-\w+)?"', strip)
    assert kinds == [" tc-full", " tc-skip", " tc-skip", " tc-full", "", ""]
    assert "4 of 6 steps, 1.2 s" in html
    # What a shown run took is no result: the table has that.
    done = ArmProgress("x", "TraCache", 2, [True, False], elapsed_s=1.25)
    assert "1.2 s" not in show_progress(Progress([done]))
    assert "1 of 2 steps computed" in show_progress(Progress([done]))
    assert "Running &lt;b&gt;" in html


def test_unknown_words_are_named_with_something_to_try():
    note = vocabulary_note("a shiny cat on the Water, <u>bleu</u>", VOCABULARY)
    assert "“cat” and “u” are not words of this model; try sphere, cube." in note
    assert "“bleu” is not a word of this model; try blue." in note
    assert "Known: a, shiny, on, water." in note
    assert "<u>" not in note
    assert "the" not in re.findall(r"“(.*?)”", note)


def test_words_that_are_all_known_raise_no_warning():
    note = vocabulary_note("a matte blue cube left of a red sphere at sunset", VOCABULARY)
    assert "not a word" not in note
    assert "tc-warn" not in note
    assert "Describe a scene" in vocabulary_note("  ", VOCABULARY)
    assert vocabulary_note("anything", None) == ""


def test_the_note_says_how_near_words_are_read():
    vocabulary = load_vocabulary(assets_folder() / "scenes-t2i")
    note = vocabulary_note("a crimson ball, <u>bleu</u>", vocabulary)
    assert "Understood as “a red sphere u bleu u”." in note
    assert "“bleu”" in note
    assert "crimson" not in note
    # At the result the request holds what was read; what was written is known beside it.
    read = "a red sphere on water"
    assert vocabulary_note(read, vocabulary) == ""
    assert f"Understood as “{read}”." in vocabulary_note(read, vocabulary, "a ball on the lake")


def test_a_page_of_words_makes_a_short_note():
    note = vocabulary_note(" ".join(f"word{i}" for i in range(2000)), VOCABULARY)
    assert len(note) < 1000
    assert "1995 more words" in note


def test_the_builder_writes_captions():
    one = ("shiny", "red", "sphere")
    two = ("matte", "blue", "cube")
    where = ("water", "at sunset")
    assert write_scene(VOCABULARY, *one, ALONE, *two, *where) == (
        "a shiny red sphere on water at sunset"
    )
    assert write_scene(VOCABULARY, *one, "on top of", *two, *where) == (
        "a shiny red sphere on top of a matte blue cube on water at sunset"
    )
    with pytest.raises(Exception, match="Nothing stands on a sphere; choose cube below"):
        write_scene(VOCABULARY, *two, "on top of", *one, *where)


@pytest.mark.parametrize("value, expected", [(3.0, 3), (3, 3), (2.5, 2.5), (None, None)])
def test_numbers_from_a_browser(value, expected):
    assert whole(value) == expected
    assert type(whole(value)) is type(expected)
