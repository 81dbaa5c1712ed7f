"""Arms and their settings: other kinds, an adaptive stride, presets, one slider for most."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PROMPT, box, choose, press, set_number, unfold
from tracache.compare.request import make_request
from tracache.compare.serialise import given_of, to_query

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_an_arm_of_another_kind_brings_its_own_settings(open_page):
    """Its note, its settings and no stride; what it left out shows part by part."""
    page = open_page()
    box(page).fill(PROMPT)
    choose(page, "Accelerated by", "ToCa")
    expect(page.locator("#arm-note")).to_contain_text("Needs attention scores")
    expect(page.get_by_label("Share cached")).to_be_visible()
    expect(page.get_by_label("Share of blocks")).to_be_hidden()
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_be_hidden()
    page.get_by_label("Interval").fill("2")
    page.get_by_label("Interval").blur()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("ToCa10 of 20")
    expect(page.locator("#heatmap")).to_contain_text("computed in part")
    expect(page.locator("#heatmap-text")).to_contain_text("parts of blocks")


def test_what_is_set_of_an_arm_comes_with_a_link_and_is_kept(open_page, server):
    options = {"toca": {"interval": 2, "ratio": 0.5}}
    request = make_request("scenes-t2i", PROMPT, seed=3, arms=["toca"], options=options)
    page = open_page(address=f"{server}/?{to_query(given_of(request))}")
    expect(box(page)).to_have_value(PROMPT)
    unfold(page)
    interval = page.get_by_label("Interval")
    expect(interval).to_have_value("2")
    expect(page.get_by_label("Share cached")).to_have_value("0.5")
    choose(page, "Accelerated by", "Δ-DiT")
    expect(interval).to_have_value("3")
    interval.fill("4")
    choose(page, "Accelerated by", "ToCa")
    expect(interval).to_have_value("2")
    choose(page, "Accelerated by", "Δ-DiT")
    expect(interval).to_have_value("4")


def test_an_arm_that_cannot_run_here_says_why(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    choose(page, "Accelerated by", "Gates from a file")
    alert = page.locator("#arm-note").get_by_role("alert")
    expect(alert).to_contain_text("Not available here. Needs a gate file")
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("The arm gates is not on the page")


def test_an_adaptive_stride_takes_a_tolerance(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    choose(page, "Accelerated by", "TraCache, as published")
    page.get_by_label("Adaptive: where the predicted error grows").check()
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_be_hidden()
    expect(page.locator("#plan")).to_contain_text("decided while it runs")
    set_number(page, "Tolerance", 0.02)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    rows = page.locator("#figures tbody tr")
    found = re.match(r"TraCache, as published(\d+) of", rows.nth(1).inner_text().replace("\t", ""))
    computed = int(found[1])
    assert 2 < computed < 20
    # Equal cost is what was really computed.
    expect(rows.nth(2)).to_contain_text(f"Fewer steps{computed} of {computed}")


def test_the_published_method_is_one_choice_with_its_own_controls(open_page):
    page = open_page()
    stride = page.get_by_role("spinbutton", name=re.compile("Stride"))
    computed = page.get_by_role("spinbutton", name=re.compile("Computed steps"))
    fold = page.get_by_role("button", name="How it plans, predicts and looks back")
    unfold(page)
    expect(computed).to_have_value("8")
    expect(stride).to_be_hidden()
    fold.click()
    expect(page.get_by_label("Look back")).to_be_visible()
    choose(page, "Accelerated by", "TraCache, as published")
    expect(stride).to_be_visible()
    expect(page.get_by_role("spinbutton", name=re.compile("Max order"))).to_be_visible()
    expect(page.get_by_role("button", name="How it predicts and chooses")).to_be_visible()
    expect(computed).to_be_hidden()
    expect(fold).to_be_hidden()
    page.get_by_label("So many steps").check()
    expect(computed).to_be_visible()
    expect(stride).to_be_hidden()
    choose(page, "Accelerated by", "TraCache")
    expect(fold).to_be_visible()
    expect(page.get_by_label("So many steps")).to_be_hidden()


def test_a_preset_takes_the_place_of_the_sliders(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    choose(page, "Accelerated by", "TraCache, as published")
    choose(page, "Preset", "20 steps, 6 computed (3.3× fewer block calls)")
    expect(page.locator("#preset-note")).to_contain_text("Computes the 6 steps")
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_be_hidden()
    press(page, "Generate")
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text(
        "TraCache, as published6 of 20"
    )


def test_one_slider_decides_how_much_is_computed(open_page):
    """Its plan moves with it, and a model brings its own number."""
    page = open_page()
    computed = page.get_by_role("spinbutton", name=re.compile("Computed steps"))
    expect(page.locator("#plan")).to_contain_text("8 of 20 steps compute")
    slider = page.get_by_role("slider", name=re.compile("Computed steps"))
    for key, number in (("ArrowLeft", 7), ("ArrowRight", 8), ("End", 20), ("Home", 1)):
        slider.press(key)
        expect(computed).to_have_value(str(number))
        expect(page.locator("#plan")).to_contain_text(f"{number} of 20 steps compute")
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    expect(page.locator("#plan")).to_contain_text("20 of 50 steps compute")
    expect(computed).to_have_value("20")


def test_an_arm_is_not_compared_with_itself_nor_too_many_with_it(open_page):
    page = open_page()
    unfold(page)
    also = page.locator("#set-also .token")
    expect(also).to_have_text(["Fewer steps", "TraCache, as published"])
    choose(page, "Accelerated by", "TraCache, as published")
    expect(also).to_have_text(["Fewer steps"])
    choose(page, "Accelerated by", "TraCache")
    expect(also).to_have_text(["Fewer steps", "TraCache, as published"])
