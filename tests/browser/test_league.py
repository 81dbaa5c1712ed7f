"""The league in a browser: it sorts, shows pictures, fits a phone, and is there for everybody."""

from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from tests.app import start_app
from tests.leagues import MADE, assets_with

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("league")
    assets = assets_with(folder / "assets")
    with start_app(folder, TRACACHE_ASSETS=str(assets)) as server:
        server.assets = assets
        yield server


def open_league(open_page, server, **how):
    theme = how.get("theme", "light")
    page = open_page(address=f"{server}/league?__theme={theme}", wait_for="TraCache", **how)
    expect(page.locator(".tcl-table tbody tr")).to_have_count(len(MADE))
    return page


def titles(page):
    return page.locator(".tcl-table tbody tr .tcl-who").all_text_contents()


def test_it_sorts_shows_pictures_and_changes_cells(open_page, server):
    page = open_league(open_page, server)
    assert titles(page)[0] == "TraCache"
    head = page.get_by_role("button", name="PSNR")
    # By keyboard; the best comes first, and the other way round after that.
    head.focus()
    page.keyboard.press("Enter")
    assert titles(page)[0] == "TeaCache"
    column = page.get_by_role("columnheader", name="PSNR")
    assert column.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert titles(page)[0] == "Fewer steps"
    row = page.get_by_role("button", name="TeaCache", exact=True)
    row.click()
    expect(row).to_have_attribute("aria-pressed", "true")
    shown = page.locator(".tcl-shown figure")
    expect(shown).to_have_count(2)
    expect(shown.nth(0).get_by_role("img").first).to_have_accessible_name(
        "a red cube on grass, by Full compute"
    )
    link = shown.nth(1).get_by_role("link").first
    expect(link).to_have_accessible_name("a red cube on grass, by TeaCache: compare it yourself")
    asked = parse_qs(link.get_attribute("href").removeprefix("./?"))
    assert asked == {
        "model": ["scenes-t2i"],
        "steps": ["20"],
        "compute": ["5"],
        "prompt": ["a red cube on grass"],
        "seed": ["0"],
        "arms": ["teacache"],
        "teacache.threshold": ["0.3"],
    }
    # The sheet comes, and the right row of it is shown.
    line = shown.nth(1).locator(".tcl-line a").first
    page.wait_for_function(
        "async () => (await fetch(document.querySelector('.tcl').dataset.sheet)).ok"
    )
    assert "calc" not in line.evaluate("e => e.style.backgroundPosition")
    assert line.evaluate("e => e.style.backgroundPosition").split() == ["0%", "37.5%"]
    page.get_by_label("Computed steps").click()
    page.get_by_role("option", name="10").click()
    expect(page.locator(".tcl-table tbody tr").first).to_contain_text(".020")
    assert page.locator(".tcl-shown figure").count() == 0
    expect(page.locator("#league-space-plot .js-plotly-plot")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(open_page, server, theme):
    page = open_league(open_page, server, width=390, height=844, theme=theme)
    page.get_by_role("button", name="TraCache", exact=True).click()
    expect(page.locator("#league-space-plot .js-plotly-plot")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # Names stay in sight when the figures are scrolled.
    page.locator(".tcl .tc-scroll").evaluate("e => e.scrollLeft = 200")
    box = page.get_by_role("button", name="TraCache", exact=True).bounding_box()
    assert 0 <= box["x"] < 60


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_nothing_that_axe_can_find(open_page, server, theme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_league(open_page, server, theme=theme)
    page.get_by_role("button", name="Fewer steps", exact=True).click()
    expect(page.locator("#league-space-plot .js-plotly-plot")).to_be_visible()
    wanted = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}}
    found = Axe().run(page, options=wanted).response["violations"]
    assert {v["id"]: [node["target"] for node in v["nodes"]] for v in found} == {}


@pytest.mark.slow
def test_where_nothing_is_recorded_it_says_so(open_page, server):
    """What is there is looked up when the page is opened, not when the app starts."""
    file = server.assets / "benchmarks" / "league.json"
    away = file.rename(file.with_name("away.json"))
    try:
        page = open_page(address=f"{server}/league", wait_for=None)
        expect(page.locator("#league")).to_contain_text("No league has been recorded here yet.")
        expect(page.get_by_label("Model")).not_to_be_visible()
    finally:
        away.rename(file)
