"""Models and what they are asked for: prompts and their words, classes, sizes."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PROMPT, box, choose, image_width, press, set_number

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_an_example_fills_the_prompt(open_page):
    page = open_page()
    page.locator("#examples").get_by_role("button", name="a shiny yellow ring").click()
    expect(box(page)).to_have_value("a shiny yellow ring on grass at night")


def test_words_that_the_model_does_not_know(open_page):
    page = open_page()
    box(page).fill("a shiny cat on water at sunset")
    note = page.locator("#vocabulary")
    expect(note).to_contain_text("“cat” is not a word of this model; try sphere, cube")
    expect(note).to_contain_text("Known: a, shiny, on, water")
    box(page).fill(PROMPT)
    expect(note).not_to_contain_text("not a word")


def test_the_prompt_builder_writes_the_prompt(open_page):
    page = open_page()
    page.get_by_role("button", name="Build a prompt").click()
    for label, word in (("First colour", "blue"), ("When", "at night")):
        page.get_by_label(label).select_option(word)
    expect(box(page)).to_have_value(re.compile(r"^a shiny blue sphere on \w+ at night$"))
    expect(page.get_by_label("Second solid")).to_be_hidden()
    page.get_by_label("Beside it").select_option("left of")
    page.get_by_label("Second solid").select_option("cone")
    expect(box(page)).to_have_value(
        re.compile(r"^a shiny blue sphere left of a \w+ \w+ cone on \w+ at night$")
    )


def test_a_video_prompt_is_built_from_its_own_words(open_page):
    page = open_page()
    choose(page, "Model", "Moving scenes (embedded, text to video)")
    expect(box(page)).to_have_value("a red cube slides to the right on grass")
    page.get_by_role("button", name="Build a prompt").click()
    page.get_by_label("Motion").select_option("orbits clockwise")
    expect(box(page)).to_have_value(
        re.compile(r"^a \w+ (sphere|cube|cone) orbits clockwise around a \w+ \w+ on \w+$")
    )
    page.get_by_label("Motion").select_option("rolls to the left")
    expect(box(page)).to_have_value(re.compile(r"^a \w+ (sphere|ring) rolls to the left on \w+$"))


def test_a_model_of_classes_asks_for_a_class(open_page):
    """The prompt gives way to a class with search; steps and the rest follow the model."""
    page = open_page()
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    expect(box(page)).to_be_hidden()
    expect(page.get_by_role("button", name="Build a prompt")).to_be_hidden()
    expect(page.locator("#model-note")).to_contain_text("single rendered solids")
    page.get_by_role("button", name="Steps, guidance, seed").click()
    expect(page.get_by_role("spinbutton", name=re.compile("Steps"))).to_have_value("50")
    expect(page.get_by_role("spinbutton", name=re.compile("Guidance"))).to_have_value("1.5")
    expect(page.get_by_label("Scheduler", exact=True)).to_have_value("ddim")
    set_number(page, "Steps", 6)
    search = page.get_by_label("Class", exact=True)
    search.click()
    search.fill("blue cu")
    page.get_by_role("option", name="blue cube", exact=True).click()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    assert image_width(page, "tracache") == 128
    # Two fifths of them.
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("TraCache2 of 6")
    choose(page, "Model", "Scenes (embedded, text to image)")
    expect(box(page)).to_be_visible()
    expect(search).to_be_hidden()
    expect(page.get_by_role("spinbutton", name=re.compile("Steps"))).to_have_value("20")


def test_a_class_that_is_not_there_brings_near_names(open_page):
    page = open_page()
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    search = page.get_by_label("Class", exact=True)
    search.click()
    search.fill("purpel cube")
    search.press("Enter")
    press(page, "Generate")
    message = re.compile("no class 'purpel cube'; did you mean .*purple cube")
    expect(page.get_by_text(message).first).to_be_visible()


def test_models_that_cannot_run_here_are_listed_apart_and_say_why(open_page, server):
    page = open_page()
    absent = page.locator("#absent")
    expect(absent).to_contain_text(re.compile(r"Not here: \d+ more models"))
    why = "facebook/DiT-XL-2-256 is not downloaded and the Hub is switched"
    expect(absent.get_by_text(why)).to_be_hidden()
    absent.get_by_role("button").click()
    expect(absent.get_by_text(why)).to_be_visible()
    expect(absent).to_contain_text("FLUX.1-dev")
    expect(absent).to_contain_text("Licence: FLUX.1-dev non-commercial.")
    page.get_by_label("Model", exact=True).click()
    expect(page.get_by_role("option", name=re.compile("Scenes"))).to_have_count(2)
    expect(page.get_by_role("option", name=re.compile("DiT-XL|FLUX"))).to_have_count(0)
    page.keyboard.press("Escape")
    # A link may name one all the same.
    page = open_page(address=f"{server}/?model=dit-xl-2-256&class_label=0")
    expect(page.locator("#model-note").get_by_role("alert")).to_contain_text("Not available here.")
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()
    # The rest of the page works.
    choose(page, "Model", "Scenes (embedded, text to image)")
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 4)
    box(page).fill(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")


def test_what_is_shown_of_another_model_or_example_goes(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    expect(page.get_by_role("slider", name=re.compile("for Steps"))).to_have_attribute("max", "100")
    set_number(page, "Steps", 4)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    page.locator("#examples").get_by_role("button", name="a shiny yellow ring").click()
    expect(page.locator("#viewer")).to_contain_text("A recording, not a run of yours")
    expect(page.locator("#viewer")).to_contain_text("a shiny yellow ring on grass at night")
    expect(page.locator("#figures tbody tr")).to_have_count(0)
    expect(page.locator("#headline")).to_be_empty()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    expect(page.locator("#figures tbody tr")).to_have_count(0)
    expect(page.locator("#status")).to_contain_text("Press Generate")
    expect(page.locator("#viewer")).to_contain_text("A recording, not a run of yours")
    expect(page.get_by_role("slider", name=re.compile("for Steps"))).to_have_attribute("max", "250")
    # More steps than the other model takes are no mistake of whoever changes to it.
    set_number(page, "Steps", 200)
    choose(page, "Model", "Scenes (embedded, text to image)")
    expect(page.get_by_role("slider", name=re.compile("for Steps"))).to_have_value("20")
    expect(page.locator("#plan")).to_contain_text("8 of 20 steps compute")
    expect(page.locator(".toast-body")).to_have_count(0)
