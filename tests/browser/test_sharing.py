"""A run by its link, settings by a link; what can be copied and downloaded."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import box, image_width, press, set_number, unfold

pytestmark = pytest.mark.browser


@pytest.mark.slow
def test_a_run_is_still_there_when_its_tab_was_closed(open_page, server):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 60)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text(re.compile(r"[1-9]\d* of 60 steps"))
    address = page.url
    assert "run=" in address
    page.close()
    again = open_page(address=address)
    expect(again.locator("#status")).to_contain_text("Done.")
    assert image_width(again, "tracache") == 128
    again.get_by_role("button", name="Steps, guidance, seed").click()
    expect(again.get_by_role("spinbutton", name=re.compile("Steps"))).to_have_value("60")


def test_a_link_restores_every_setting(open_page, server):
    query = "model=scenes-class&class_label=12&seed=5&stride=4&max_order=1&steps=8&arms=reuse"
    page = open_page(address=f"{server}/?{query}&run=gone")
    expect(page.get_by_text("That run is no longer kept.")).to_be_visible()
    expect(page.get_by_label("Class", exact=True)).to_be_visible()
    expect(box(page)).to_be_hidden()
    unfold(page)
    expect(page.get_by_label("Accelerated by")).to_have_value("Reuse (FORA)")
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_have_value("4")
    press(page, "Generate")
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("Reuse (FORA)3 of 8")
    assert "class_label=12" in page.url


@pytest.mark.slow
def test_a_link_that_is_wrong_says_so(open_page, server):
    page = open_page(address=f"{server}/?model=scenes-t2i&prompt=x&stride=many")
    expect(page.get_by_text("stride in the link must be a whole number")).to_be_visible()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")


@pytest.mark.slow
def test_link_script_and_command_can_be_copied(open_page):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 4)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    clipboard = "navigator.clipboard.readText()"
    for name, words in (
        ("Copy link", "?model=scenes-t2i&prompt=a+shiny+red+sphere"),
        ("Copy as Python", "report = run(load_model(request.model), request)"),
        ("Copy as command", "python -m tracache compare --model=scenes-t2i"),
    ):
        press(page, name)
        expect(page.get_by_text("Copied.")).to_be_visible()
        assert words in page.evaluate(clipboard)
        if name == "Copy link":
            # With the run, so that whoever follows it sees these pictures.
            assert "&run=" in page.evaluate(clipboard)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything (.zip)").click()
    assert download.value.suggested_filename.endswith(".zip")
