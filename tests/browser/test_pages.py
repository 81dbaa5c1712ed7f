"""Every page: the sweep, how it works, on a phone, for those who cannot see it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PROMPT, box, press, set_number, unfold

pytestmark = pytest.mark.browser


def test_a_sweep_fills_in_and_leads_to_its_cells(open_page, server):
    page = open_page(address=f"{server}/sweep", wait_for="Run the sweep")
    set_number(page, "Steps", 8)
    # The rows are of the run's own steps.
    expect(page.get_by_label("5", exact=True)).to_be_visible()
    for box_ in ("2", "4"):
        expect(page.get_by_label(box_, exact=True)).to_be_checked()
    page.get_by_label("FORA").uncheck()
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_hidden()
    press(page, "Run the sweep")
    expect(stop).to_be_visible()
    status = page.locator("#sweep-status")
    expect(status).to_contain_text(re.compile(r"Done\. Nearest: .+ at .+ computed steps\."))
    expect(stop).to_be_hidden()
    cells = page.locator(".tc-sweep td a")
    assert cells.count() == 3 * 4 or cells.count() == 2 * 4
    expect(cells.nth(0)).to_contain_text(re.compile(r"(\d+\.\d dB|the same)"))
    expect(cells.nth(0)).to_contain_text(re.compile(r"(\d+\.\d× fewer|as many) MACs"))
    # One of each row is nearest, and is said to be.
    assert page.locator(".tc-sweep .tc-best").count() == cells.count() // 4
    expect(page.locator("#sweep-plot .js-plotly-plot")).to_be_visible()
    # On a phone every cell is seen without scrolling aside, and says whose it is.
    page.set_viewport_size({"width": 390, "height": 844})
    room = page.locator(".tc-sweep").evaluate(
        "it => it.parentElement.getBoundingClientRect().right"
    )
    for cell in page.locator(".tc-sweep tbody td").all():
        named = "it => getComputedStyle(it, '::before').content.length > 4"
        assert cell.evaluate(named)
        seen = cell.bounding_box()
        assert seen["x"] + seen["width"] <= room + 1
        assert seen["width"] > 60
    page.set_viewport_size({"width": 1440, "height": 900})
    cells.nth(2).click()
    page.get_by_role("button", name="Generate").wait_for()
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator("#headline")).to_contain_text("2 of 8 steps computed")
    unfold(page)
    expect(page.get_by_role("spinbutton", name=re.compile("Computed steps"))).to_have_value("2")


@pytest.mark.slow
def test_how_it_works_shows_equations_and_figures(open_page, server):
    page = open_page(address=f"{server}/how", wait_for=None)
    expect(page.get_by_role("heading", name="How it works")).to_be_visible()
    expect(page.locator(".katex-display")).to_have_count(2)
    expect(page.locator("#forecast .tcp-plot path").first).to_be_attached()
    assert page.locator("#how-choice .tc-bars i").count() == 26


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(open_page, theme):
    page = open_page(width=390, height=844, theme=theme)
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 4)
    box(page).fill(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator("#heatmap .tch-map")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # What is asked, what came of it, then whatever else can be set or known.
    top = "name => document.querySelector(name).getBoundingClientRect().top"
    parts = (".tc-first", ".tc-result", ".tc-more", ".tc-rest")
    tops = [page.evaluate(top, part) for part in parts]
    assert tops == sorted(tops)
    gap = page.locator("#headline").bounding_box()["y"] - sum(
        page.locator("#generate").bounding_box()[side] for side in ("y", "height")
    )
    assert 0 < gap < 60
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == (theme == "dark")


@pytest.mark.parametrize(
    "route, theme",
    [
        pytest.param(route, theme, marks=[pytest.mark.slow] * ((route, theme) != ("", "light")))
        for route in ("", "sweep", "how")
        for theme in ("light", "dark")
    ],
)
def test_nothing_that_axe_can_find(open_page, server, route, theme):
    """WCAG 2 A and AA, after a run where there is one."""
    from axe_playwright_python.sync_playwright import Axe

    names = {"": "Generate", "sweep": "Run the sweep", "how": None}
    address = f"{server}/{route}?__theme={theme}"
    page = open_page(address=address, wait_for=names[route])
    if not route:
        page.get_by_role("button", name="Steps, guidance, seed").click()
        set_number(page, "Steps", 4)
        press(page, "Generate")
        expect(page.locator("#status")).to_contain_text("Done.")
        expect(page.locator("#heatmap .tch-map")).to_be_visible()
    if route == "how":
        expect(page.locator("#how-choice .tc-bars")).to_be_visible()
        expect(page.locator("#forecast .tcp-handle").first).to_be_visible()
    wanted = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}}
    found = Axe().run(page, options=wanted).response["violations"]
    assert {v["id"]: [node["target"] for node in v["nodes"]] for v in found} == {}


@pytest.mark.parametrize("route", ["", "sweep"])
def test_a_slider_shows_that_it_has_the_focus(open_page, server, route):
    name = {"": "Generate", "sweep": "Run the sweep"}[route]
    page = open_page(address=f"{server}/{route}", wait_for=name)
    slider = page.locator("input[type=range]:visible").first
    outline = "it => getComputedStyle(it).outlineStyle"
    assert slider.evaluate(outline) == "none"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.evaluate(outline) == "solid"
