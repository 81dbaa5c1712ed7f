"""The curve of "How it works": computed steps that can be dragged, and the error that follows."""

import pytest
from playwright.sync_api import expect

from tests.ui.test_how import COMPUTED, STEPS, WAYS, curves, errors, evenly

pytestmark = pytest.mark.browser


@pytest.fixture
def page(open_page, server):
    page = open_page(address=f"{server}/how", wait_for=None)
    expect(page.locator(".tcp-handle")).to_have_count(COMPUTED)
    return page


def shown(page):
    """Error of each way, as the page draws it."""
    return {
        way: float(page.locator(f'[data-way="{way}"]').get_attribute("data-error"))
        for way, *_ in WAYS
    }


def known(page):
    """The computed steps, from 0."""
    handles = page.locator(".tcp-handle")
    return [int(v) - 1 for v in handles.evaluate_all("all => all.map(h => h.ariaValueNow)")]


def test_the_page_reckons_as_the_library_does(page):
    for number, curve in enumerate(curves()):
        page.get_by_label("Curve").select_option(f"{number}")
        for many in (3, 8, 13):
            page.get_by_label("Computed steps", exact=False).first.fill(f"{many}")
            assert known(page) == evenly(many)
            assert shown(page) == pytest.approx(errors(curve["values"], evenly(many)), abs=1e-9)


def test_a_computed_step_is_dragged_and_the_error_follows(page):
    before = shown(page)
    handle = page.locator(".tcp-handle").nth(2)
    handle.scroll_into_view_if_needed()
    start = handle.bounding_box()
    at = (start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + 30, at[1] + 5, steps=4)
    page.mouse.up()
    moved = known(page)
    assert moved[2] in (evenly(COMPUTED)[2] + 1, evenly(COMPUTED)[2] + 2)
    assert shown(page) != before
    assert shown(page) == pytest.approx(errors(curves()[0]["values"], moved), abs=1e-9)
    # Never past its neighbour.
    page.mouse.move(*at)
    page.locator(".tcp-handle").nth(2).hover()
    page.mouse.down()
    page.mouse.move(at[0] + 600, at[1], steps=4)
    page.mouse.up()
    assert known(page)[2] == known(page)[3] - 1


def test_keys_move_add_and_remove(page):
    before = shown(page)
    handle = page.get_by_role("slider", name=f"Computed step 4 of {COMPUTED}")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    wanted = evenly(COMPUTED)
    wanted[3] += 2
    assert known(page) == wanted
    assert shown(page) != before
    page.keyboard.press("Delete")
    del wanted[3]
    assert known(page) == wanted
    expect(page.locator(".tcp-said")).to_contain_text(
        f"7 of {STEPS} steps computed, 5.7× less work"
    )
    # The first is always computed, and stays where it is.
    page.locator(".tcp-handle").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    assert known(page) == wanted
    page.locator(".tcp-strip i").nth(2).click()
    assert known(page) == [0, 2, *wanted[1:]]


def test_the_way_that_is_chosen_is_what_is_drawn(page):
    pieces = page.locator(".tcp-plot .tcp-piece")
    # Through one point goes order 0 alone, through two a line at most.
    page.get_by_role("radio", name="Order 2").check()
    kinds = pieces.evaluate_all("all => all.map(p => p.classList[1])")
    assert kinds == ["tch-order-0", "tch-order-1", *["tch-order-2"] * (COMPUTED - 3)]
    page.get_by_role("radio", name="TraCache, looking back").check()
    assert page.locator(".tcp-plot .tcp-piece.tcp-back").count() == COMPUTED - 1
    expect(page.locator(".tcp-said")).to_contain_text("TraCache is 0.2 % off, reuse 11.2 %")


@pytest.mark.slow
def test_a_phone_has_room_for_it_and_fingers_move_it(open_page, server):
    page = open_page(width=390, height=844, address=f"{server}/how", wait_for=None)
    expect(page.locator(".tcp-handle")).to_have_count(COMPUTED)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # A finger that moves a step does not scroll the page.
    action = "handle => getComputedStyle(handle).touchAction"
    assert page.locator(".tcp-handle").nth(1).evaluate(action) == "none"
