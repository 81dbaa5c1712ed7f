"""Links that somebody else made: they show a run, or settings, and can do nothing more."""

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PROMPT, box, long_run, press

pytestmark = pytest.mark.browser

HOSTILE = (
    '<div id="evil" style="position:fixed;inset:0;z-index:9999;background:white">'
    '<form id="evil-form" action="https://example.org/"><input name="password"></form>'
    '<img src="https://example.org/seen.png"><style>body { display: none }</style></div>'
)
GOOD = {"model": "scenes-t2i", "prompt": PROMPT}

LINKS = {
    "model": {"model": HOSTILE},
    "arms": {**GOOD, "arms": HOSTILE},
    "scheduler": {**GOOD, "scheduler": HOSTILE},
    "criterion": {**GOOD, "criterion": HOSTILE},
    "preset": {**GOOD, "preset": HOSTILE},
    "an option": {**GOOD, "arms": "toca", "toca.ratio": HOSTILE},
    "an option's name": {**GOOD, "arms": "toca", f"toca.{HOSTILE}": "1"},
    "a setting": {**GOOD, HOSTILE: "1"},
    "class": {"model": "scenes-class", "class_label": HOSTILE},
}


def assert_harmless(page):
    assert (
        page.locator('[id^="evil"], form[action*="example.org"], img[src*="example.org"]').count()
        == 0
    )
    assert page.evaluate("getComputedStyle(document.body).display") != "none"


@pytest.mark.parametrize(
    "what", ["model", *(pytest.param(w, marks=pytest.mark.slow) for w in LINKS if w != "model")]
)
def test_a_hostile_link_is_shown_as_text(open_page, server, what):
    page = open_page(address=f"{server}/?{urlencode(LINKS[what])}")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("This link could not be read")
    expect(toast).to_contain_text("<div id=")
    assert len(toast.inner_text()) < 800
    assert_harmless(page)


@pytest.mark.slow
def test_a_hostile_prompt_is_a_prompt(open_page, server):
    page = open_page(address=f"{server}/?{urlencode({**GOOD, 'prompt': HOSTILE, 'steps': 4})}")
    expect(box(page)).to_have_value(HOSTILE)
    expect(page.locator("#vocabulary")).to_contain_text("are not words")
    assert_harmless(page)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator(".tc-gallery li")).to_have_count(1)
    assert_harmless(page)


@pytest.mark.slow
def test_whoever_has_the_link_looks_on_and_only_the_owner_stops(open_page, server):
    owner = open_page(address=long_run(server, seed=103))
    expect(box(owner)).to_have_value(re.compile("red cube"))
    press(owner, "Generate")
    expect(owner.locator("#status")).to_contain_text(re.compile(r"[1-9]\d* of 100 steps"))
    visitor = open_page(address=owner.url)
    expect(visitor.locator("#status")).to_contain_text(re.compile(r"[1-9]\d* of 100 steps"))
    # It is not offered, and asked for all the same it is refused.
    stop = visitor.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_hidden()
    visitor.locator("#stop").dispatch_event("click")
    expect(visitor.locator("#stop-note")).to_contain_text("Only whoever began this run can")
    assert visitor.evaluate("localStorage.getItem('tracache-tokens')") is None
    # Loaded again, the owner's page is another session, and still the owner's.
    owner.reload()
    expect(owner.locator("#status")).to_contain_text(re.compile(r"[1-9]\d* of 100 steps"))
    press(owner, "Stop")
    for page in (owner, visitor):
        expect(page.locator("#status")).to_contain_text(re.compile(r"Stopped after step \d+"))
