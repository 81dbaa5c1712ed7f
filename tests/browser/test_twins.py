"""Models of the Hub on the page, as tiny twins: an image and a video."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import box, choose, image_width, press, set_number, shown
from tracache.models.registry import MODELS

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def server(twins):
    """The page that opens is the twins'."""
    return twins


@pytest.mark.parametrize("model_id", ["flux.1-dev", "ltx-video"])
def test_a_comparison(open_page, model_id):
    page = open_page()
    choose(page, "Model", MODELS[model_id].title)
    expect(page.locator("#model-note")).to_contain_text(MODELS[model_id].licence)
    page.get_by_role("button", name="Steps, guidance, seed").click()
    negative = page.get_by_role("textbox", name="Negative prompt")
    if MODELS[model_id].takes_negative:
        negative.fill("a blue cone")
    else:
        expect(negative).to_be_hidden()
    set_number(page, "Steps", 4)
    expect(page.locator("#plan")).to_contain_text("2 of 4 steps compute")
    # The last model's scheduler, which this one does not have, is no error.
    expect(page.locator(".toast-body")).to_have_count(0)
    box(page).fill("a red cube")
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    named = "negative_prompt" in page.locator("#share").inner_html()
    assert named == MODELS[model_id].takes_negative
    if MODELS[model_id].makes_video:
        assert shown(page, "tracache").evaluate("video => video.videoWidth") == 32
    else:
        assert image_width(page, "tracache") == 32
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("TraCache2 of 4")
