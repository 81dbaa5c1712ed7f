"""The league's page: what it says of what was kept, and of nothing, and of what is damaged."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from tests.leagues import MADE, assets_with, make_league
from tracache.compare.serialise import from_given, from_query
from tracache.experiments.league.kept import kept_leagues
from tracache.settings import Settings
from tracache.ui.league_page import show_league
from tracache.ui.views.league import EMPTY


@pytest.fixture
def settings(tmp_path):
    return replace(Settings.from_environment(), assets=assets_with(tmp_path / "assets"))


def order(html):
    return re.findall(r'<th scope="row" data-value="([^"]*)"', html)


def test_the_first_cell_is_shown_by_rank_and_every_row_leads_to_its_pictures(settings):
    shown = show_league(settings)
    assert shown["model"]["value"] == "scenes-t2i"
    assert (shown["steps"]["value"], shown["budget"]["value"]) == (20, 5)
    html = shown["table"]
    assert order(html) == [title for _, title, *_ in MADE]
    # The sheet's first row is full compute.
    assert re.findall(r'data-place="(\d)"', html) == ["1", "2", "3", "4"]
    assert "a &lt;b&gt;blue&lt;/b&gt; cone" in html
    assert "PAB at 5: none of its settings comes to it" in html
    assert "threshold 0.3" in html
    assert "an abacus" in html


def test_another_budget_is_another_table_and_what_there_is_not_is_the_first(settings):
    ten = show_league(settings, "scenes-t2i", 20, 10)
    assert 'data-place="5"' in ten["table"]
    assert "PAB" not in ten["table"]
    assert show_league(settings, "gone", "<script>", -1)["table"] == show_league(settings)["table"]


def test_where_we_are_behind_is_said_first(settings):
    words = show_league(settings)["space-text"]
    assert "We are behind here: at 5 of 20 steps data is nearer" in words
    assert show_league(settings)["space"]["visible"]
    # Nothing was measured that answers the others.
    assert not show_league(settings)["plan"]["visible"]


def test_nothing_recorded_and_something_damaged_are_said(tmp_path):
    bare = assets_with(tmp_path / "assets", league=False)
    settings = replace(Settings.from_environment(), assets=bare)
    assert show_league(settings) == {"table": EMPTY}
    file = bare / "benchmarks" / "league-x.json"
    file.write_text('{"models": [{"rows": []}]}')
    said = show_league(settings)["table"]
    assert "league-x.json holds no league" in said
    # It is read again once it is another file.
    file.write_text(json.dumps(make_league()))
    assert list(kept_leagues(bare)) == ["scenes-t2i"]


def test_a_picture_leads_to_a_request_that_is_allowed(settings):
    html = show_league(settings)["table"]
    asked = unescape(re.search(r'data-asked="([^"]*)"', html)[1]).split(" ")
    queries = [unescape(query) for query in re.findall(r'data-query="([^"]*)"', html)]
    # A way is no arm of the front page.
    assert [bool(query) for query in queries] == [True, True, True, False]
    for query in queries[:3]:
        request = from_given(from_query(f"{asked[0]}&{query}"))
        assert (request.seed, request.steps, request.cache.compute) == (0, 20, 5)
    assert request.options == {"teacache": {"threshold": 0.3}}
    assert "blue" in asked[1]


def test_steps_of_a_model_may_lie_in_files_of_their_own(settings):
    other = make_league(steps=30)
    file = settings.assets / "benchmarks" / "league-another.json"
    file.write_text(json.dumps(other))
    usual = show_league(settings)
    assert usual["steps"]["choices"] == [20, 30]
    assert usual["steps"]["value"] == 20
    asked = show_league(settings, "scenes-t2i", 30)
    assert asked["steps"]["value"] == 30
    # Who stays out, the sentence and the links are of the steps that are shown.
    assert "at 5 of 30 steps" in asked["space-text"]
    assert "steps=30" in unescape(re.search(r'data-asked="([^"]*)"', asked["table"])[1])


def test_the_models_come_in_the_registrys_order(settings):
    file = settings.assets / "benchmarks" / "league-a.json"
    file.write_text(json.dumps(make_league("scenes-class", steps=50)))
    shown = show_league(settings)
    assert shown["model"]["value"] == "scenes-t2i"
    assert [name for _, name in shown["model"]["choices"]] == ["scenes-t2i", "scenes-class"]


def test_a_sheet_outside_the_folder_is_none(settings):
    made = make_league()
    made["models"][0]["sheets"]["20"]["file"] = "../prompts/heldout.txt"
    file = settings.assets / "benchmarks" / "league.json"
    file.write_text(json.dumps(made))
    assert kept_leagues(settings.assets)["scenes-t2i"][20].sheet is None
    assert "data-sheet" not in show_league(settings)["table"]
