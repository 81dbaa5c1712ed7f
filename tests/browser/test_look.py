"""What a run shows: the viewer, videos in step, the heatmap, a block's path, recorded examples."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import box, choose, image_width, press, set_number, shown
from tracache.compare.colours import COMPUTED

pytestmark = pytest.mark.browser


ARMS = ("full", "tracache")
PUBLISHED = "TraCache, as published"


def test_the_ways_to_look(open_page):
    """A slider that keys can move, a difference as bright as wanted, zoom in step."""
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 6)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    press(page, "Slider")
    cut = page.get_by_role("slider", name="Where Full compute gives way to TraCache")
    cut.focus()
    page.keyboard.press("End")
    clip = "layer => getComputedStyle(layer).clipPath"
    top = page.locator(".tcv-layer").nth(1)
    assert "100%" in top.evaluate(clip)
    page.keyboard.press("Home")
    assert "100%" not in top.evaluate(clip)
    press(page, "Difference")
    press(page, "×16")
    look = "frame => getComputedStyle(frame).filter"
    assert page.locator(".tcv-pair").evaluate(look) == "brightness(16)"
    blend = "layer => getComputedStyle(layer).mixBlendMode"
    assert page.locator(".tcv-layer").nth(1).evaluate(blend) == "difference"
    press(page, "Side by side")
    page.locator('.tcv [data-zoom="2"]').click()
    page.locator('.tcv [data-zoom="2"]').click()
    both = [shown(page, arm).evaluate("m => getComputedStyle(m).transform") for arm in ARMS]
    assert both == ["matrix(4, 0, 0, 4, 0, 0)"] * 2
    frame = page.locator(".tcv-frame").first.bounding_box()
    page.mouse.move(frame["x"] + 50, frame["y"] + 50)
    page.mouse.down()
    page.mouse.move(frame["x"] + 90, frame["y"] + 70)
    page.mouse.up()
    both = [shown(page, arm).evaluate("m => getComputedStyle(m).transform") for arm in ARMS]
    assert both == ["matrix(4, 0, 0, 4, 40, 20)"] * 2


def test_videos_play_in_step(open_page):
    page = open_page()
    choose(page, "Model", "Moving scenes (embedded, text to video)")
    expect(box(page)).to_have_value("a red cube slides to the right on grass")
    page.get_by_role("button", name="Steps, guidance, seed").click()
    expect(page.get_by_role("spinbutton", name=re.compile("Steps"))).to_have_value("30")
    set_number(page, "Steps", 4)
    choose(page, "Accelerated by", PUBLISHED)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    page.wait_for_function(
        "[...document.querySelectorAll('.tcv video')].filter(v => v.readyState == 4).length == 3"
    )
    times = "[...document.querySelectorAll('.tcv video')].map(v => v.currentTime)"
    # They move, loop, and stay together.
    seen = []
    for _ in range(30):
        seen.append(page.evaluate(times))
        page.wait_for_timeout(100)
    assert max(max(at) - min(at) for at in seen) < 1 / 8
    leads = [first for first, *_ in seen]
    assert any(later < earlier for earlier, later in pairwise(leads))
    press(page, "Pause")
    page.get_by_role("button", name="One frame on").click()
    at = page.evaluate(times)
    page.wait_for_timeout(400)
    assert page.evaluate(times) == at
    expect(page.locator(".tcv-frame-no")).to_contain_text(re.compile(r"frame \d+ of 17"))
    assert page.locator("#filmstrip img").evaluate("image => image.naturalWidth") == 8 * 64
    expect(page.locator("#frames .js-plotly-plot")).to_be_visible()
    expect(page.locator("#heatmap")).to_contain_text("temporal")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download TraCache").click()
    assert download.value.suggested_filename == "published.mp4"


@pytest.mark.slow
def test_a_cell_of_the_heatmap_shows_its_candidates(open_page):
    page = open_page()
    choose(page, "Accelerated by", PUBLISHED)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    said = page.locator(".tci-said")
    expect(said).to_contain_text("Block 11, step")
    # By hand, and by a click on the figure.
    page.locator(".tci-step").select_option("7")
    expect(said).to_contain_text("Block 11, step 8: order")
    expect(page.locator(".tci-least")).to_have_count(1)
    plane = page.locator(".tch-map")
    plane.scroll_into_view_if_needed()
    area = plane.bounding_box()
    corner = {"x": area["width"] * 0.06, "y": area["height"] - 36 - 11}
    plane.hover(position=corner)
    expect(page.locator(".tch-tip")).to_have_text("block 1, step 1, timestep 999: computed")
    plane.click(position=corner)
    expect(said).to_have_text("Block 1, step 1: computed.")
    expect(page.locator(".tci-step")).to_have_value("0")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_colour_means_one_thing(open_page, theme):
    """Computed is the same teal in the plan, in the strips and in the heatmap; no order is."""
    page = open_page(theme=theme)
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 10)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator(".tch-legend")).to_contain_text("order 0 (reuse)")

    def colour(where, kind="backgroundColor"):
        return page.locator(where).first.evaluate(f"node => getComputedStyle(node).{kind}")

    red, green, blue = (int(COMPUTED.__dict__[theme][i : i + 2], 16) for i in (1, 3, 5))
    teal = f"rgb({red}, {green}, {blue})"
    assert colour("#plan .tc-full") == colour("#status .tc-full") == teal
    assert colour(".tch-legend .tch-computed") == teal
    assert colour(".tch-map path.tch-computed", "fill") == teal
    assert colour(".tch-legend .tch-order-0") not in (teal, colour("#status .tc-skip"))


@pytest.mark.slow
def test_the_path_of_a_block_is_drawn(open_page):
    page = open_page()
    choose(page, "Accelerated by", PUBLISHED)
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 10)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    page.get_by_role("button", name="The path of a block").click()
    choose(page, "Block", "Block 3")
    press(page, "Draw its path")
    expect(page.locator("#path .js-plotly-plot")).to_be_visible()
    expect(page.locator("#path")).to_contain_text("first axis")
    expect(page.locator("#path-text")).to_contain_text(
        re.compile(r"reuse is \d+\.\d% off and TraCache, as published is \d+\.\d% off on average")
    )


@pytest.mark.slow
def test_recorded_examples_say_where_they_come_from(open_page):
    page = open_page()
    expect(page.locator(".tcv-label")).to_contain_text(re.compile(r"recorded on CPU .*\d{4}-"))
    # By whoever made them.
    assert image_width(page, "tracache") == 128
    expect(page.locator(".tce-title")).to_contain_text("recorded on")
    page.wait_for_function(
        "[...document.querySelectorAll('.tce img')].filter(i => i.naturalWidth == 128).length == 5"
    )
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    expect(page.get_by_label("Class", exact=True)).to_have_value("red sphere")
    page.locator("#examples").get_by_role("button", name="yellow ring").click()
    expect(page.get_by_label("Class", exact=True)).to_have_value("yellow ring")
