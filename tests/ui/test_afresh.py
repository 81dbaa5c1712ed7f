"""What is shown before a run of one's own, and what a chosen model or example leaves of another."""

from pathlib import Path

from tracache.compare.examples import load_examples
from tracache.models.registry import find_model
from tracache.settings import Settings
from tracache.ui.afresh import begin_afresh

SETTINGS = Settings.from_environment()


def test_another_model_leaves_no_figures_and_shows_its_own_recording():
    shown = begin_afresh(find_model("scenes-class"), SETTINGS)
    assert (shown["headline"], shown["table"], shown["heatmap"], shown["share"]) == (
        *("", "", None, None),
    )
    assert "Press Generate" in shown["status"]
    assert "Drawn after a run" in shown["heatmap_text"]
    assert all("scenes-class" in arm["src"] for arm in shown["viewer"]["arms"])


def test_an_example_shows_its_own_recording_and_says_that_it_is_one():
    example = [e for e in load_examples(SETTINGS.assets) if e.model == "scenes-t2i"][2]
    shown = begin_afresh(find_model("scenes-t2i"), SETTINGS, example.subject)
    files = [Path(arm["src"]).name for arm in shown["viewer"]["arms"]]
    assert files == [example.full, example.fast]
    assert shown["viewer"]["label"].startswith("A recording, not a run of yours")
    assert example.recorded in shown["viewer"]["label"]
    assert f"a recording of “{example.subject}”" in shown["status"]


def test_an_example_without_a_recording_leaves_an_empty_viewer():
    shown = begin_afresh(find_model("scenes-t2i"), SETTINGS, "<b>never recorded</b>")
    assert shown["viewer"] is None
    assert "Press Generate" in shown["status"]
    assert "never" not in shown["status"]
