"""One cursor: the strips, the heatmap, the curve and the pictures of the same step."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import press, set_number

pytestmark = pytest.mark.browser

STEPS = 10


def here(page):
    """Steps that are marked in the strips, from 1, a strip each."""
    return page.locator("#status .tc-arm").evaluate_all(
        "arms => arms.map(a => 1 + [...a.querySelectorAll('.tc-cell')]"
        ".findIndex(c => 'here' in c.dataset))"
    )


def column(page):
    """The step that the heatmap's cursor is at, from 1."""
    return page.evaluate(
        """() => {
          const cells = document.querySelector(".tch-map path.tch-computed").getBBox();
          const cursor = document.querySelector(".tch-cursor").getBBox();
          const wide = cursor.width - 1;
          return 1 + Math.round((cursor.x + 1 - cells.x) / wide);
        }"""
    )


@pytest.mark.slow
def test_a_step_is_the_same_everywhere(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", STEPS)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    said = page.locator(".tcr-said")
    expect(said).to_contain_text(f"of {STEPS}, by")
    # It begins where they part most.
    start = int(said.inner_text().split(" at step ")[1].split(" ")[0])
    slider = page.get_by_role("slider", name="Step", exact=True)
    expect(slider).to_have_value(f"{start - 1}")
    assert here(page)[:2] == [start, start]
    assert column(page) == start
    # By keys.
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert here(page)[:2] == [2, 2]
    assert column(page) == 2
    expect(page.locator(".tcr-at output")).to_contain_text(f"Step 2 of {STEPS}, timestep")
    # In another cell of the strip, of an arm that skips.
    page.locator("#status .tc-arm").nth(1).locator(".tc-cell").nth(6).click()
    assert here(page)[:2] == [7, 7]
    expect(slider).to_have_value("6")
    expect(page.locator(".tci-step")).to_have_value("6")
    # An arm of fewer steps is shown where it was no further.
    assert here(page)[-1] < 7
    expect(page.locator(".tcr-tiles figure").last).to_contain_text("its step")
    # In the heatmap, and in the curve.
    plane = page.locator(".tch-map")
    plane.scroll_into_view_if_needed()
    area = plane.bounding_box()
    plane.click(position={"x": area["width"] - 10, "y": 20})
    assert here(page)[:2] == [STEPS, STEPS]
    curve = page.locator(".tcr-curve")
    curve.scroll_into_view_if_needed()
    curve.click(position={"x": 45, "y": 50})
    assert here(page) == [1] * 4
    assert column(page) == 1
    # The pictures are there, and the step that is shown is the one that is said.
    sheet = page.locator(".tcr-picture").nth(1)
    assert "0%" in sheet.evaluate("p => p.style.backgroundPosition")
    address = sheet.evaluate("p => getComputedStyle(p).backgroundImage.slice(5, -2)")
    loaded = (
        "u => new Promise(r => { const i = new Image(); i.onload = () => r(i.width); i.src = u })"
    )
    assert page.evaluate(loaded, address) == STEPS * 96


@pytest.mark.slow
def test_a_link_brings_the_steps_back_and_another_run_clears_them(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 6)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    said = page.locator(".tcr-said").inner_text()
    again = open_page(address=page.url)
    expect(again.locator(".tcr-said")).to_have_text(said)
    expect(again.locator(".tcr-tiles figure")).to_have_count(4)
    expect(again.locator("#status [data-here]")).to_have_count(4)
    again.locator("#examples button").nth(1).click()
    expect(again.locator(".tcr")).to_be_hidden()
