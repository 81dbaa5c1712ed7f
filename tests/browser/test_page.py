"""The page, driven as a visitor drives it."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PROMPT = "a shiny red sphere on water at sunset"


def box(page):
    return page.get_by_role("textbox", name="Prompt")


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def set_number(page, label, value):
    """Type into the number field of a slider."""
    field = page.get_by_role("spinbutton", name=re.compile(label))
    field.fill(str(value))
    field.blur()


def image_width(page, name):
    picture = page.locator(f"#{name} img")
    picture.wait_for()
    page.wait_for_function("id => document.querySelector(`#${id} img`).naturalWidth > 0", arg=name)
    return picture.evaluate("image => image.naturalWidth")


def test_the_main_job(open_page):
    """Type a prompt, press Generate, see two images, figures and the heatmap."""
    page = open_page()
    expect(page.locator("#status")).to_contain_text("Press Generate")
    expect(page.get_by_text(re.compile(r"Runs on .*(CPU|GPU|NVIDIA|Apple)"))).to_be_visible()
    box(page).fill(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator("#status")).to_contain_text(re.compile(r"20 of 20 steps, \d+\.\d s"))
    assert image_width(page, "full") == 128
    assert image_width(page, "accelerated") == 128
    sources = [page.locator(f"#{n} img").get_attribute("src") for n in ("full", "accelerated")]
    assert all(source.endswith(".png") for source in sources)
    assert page.locator("#slider img").count() >= 2
    rows = page.locator("#figures tbody tr")
    assert rows.count() == 2
    expect(rows.nth(0)).to_contain_text("Full compute20 / 0")
    expect(rows.nth(1)).to_contain_text(re.compile(r"TraCache\d+ / \d+.*s.*×.*MiB.*dB"))
    expect(page.locator("#headline")).to_contain_text("than full compute")
    expect(page.locator("#heatmap .js-plotly-plot .heatmaplayer image").first).to_be_attached()
    expect(page.locator("#heatmap")).to_contain_text("timestep, noisiest first")
    expect(page.locator("#heatmap-text")).to_contain_text("of 20 steps computed all")


def test_fewer_steps_is_one_press_away(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    page.get_by_label("Also run fewer steps at equal cost").check()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    assert image_width(page, "extra") == 128
    expect(page.locator("#figures tbody tr").nth(2)).to_contain_text("Fewer steps")


def test_words_that_the_model_does_not_know(open_page):
    page = open_page()
    box(page).fill("a shiny cat on water at sunset")
    note = page.locator("#vocabulary")
    expect(note).to_contain_text("“cat” is not a word of this model; try sphere, cube")
    box(page).fill(PROMPT)
    expect(note).not_to_contain_text("not a word")
    expect(note).to_contain_text("Known: a, shiny, red, sphere")


def test_the_prompt_builder_writes_the_prompt(open_page):
    page = open_page()
    page.get_by_role("button", name="Build a prompt").click()
    for label, word in (("First colour", "blue"), ("When", "at night")):
        page.get_by_label(label).click()
        page.get_by_role("option", name=word, exact=True).click()
    expect(box(page)).to_have_value(re.compile(r"^a shiny blue sphere on \w+ at night$"))


def test_an_example_fills_the_prompt(open_page):
    page = open_page()
    page.get_by_role("button", name=PROMPT).click()
    expect(box(page)).to_have_value(PROMPT)


def test_stop_ends_the_run_and_another_can_start(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 100)
    press(page, "Generate")
    status = page.locator("#status")
    expect(status).to_contain_text(re.compile(r"[1-9]\d* of 100 steps"))
    press(page, "Stop")
    expect(status).to_contain_text(re.compile(r"Stopped after step \d+ of 100 of Full compute"))
    set_number(page, "Steps", 4)
    press(page, "Generate")
    expect(status).to_contain_text("Done.")
    assert image_width(page, "accelerated") == 128


def test_bad_input_says_what_to_do_and_keeps_the_results(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 4)
    box(page).fill(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    box(page).fill("")
    press(page, "Generate")
    expect(
        page.get_by_text("The prompt is empty: describe what the image should show")
    ).to_be_visible()
    assert image_width(page, "full") == 128
    expect(page.locator("#figures tbody tr")).to_have_count(2)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(open_page, theme):
    page = open_page(width=390, height=844, theme=theme)
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 4)
    box(page).fill(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator("#heatmap .js-plotly-plot")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    dark = page.evaluate("document.body.classList.contains('dark')")
    assert dark == (theme == "dark")


def choose(page, label, option):
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


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
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("ToCa10 / 10")
    expect(page.locator("#heatmap")).to_contain_text("computed in part")
    expect(page.locator("#heatmap-text")).to_contain_text("parts of blocks")


def test_an_arm_that_cannot_run_here_says_why(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    choose(page, "Accelerated by", "Gates from a file")
    alert = page.locator("#arm-note").get_by_role("alert")
    expect(alert).to_contain_text("Not available here. Needs a gate file")
    press(page, "Generate")
    expect(page.get_by_text("The arm gates is not on the page")).to_be_visible()


def test_an_adaptive_stride_takes_a_tolerance(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    page.get_by_label("Adaptive: compute where the predicted error grows").check()
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_be_hidden()
    set_number(page, "Tolerance", 0.02)
    page.get_by_label("Also run fewer steps at equal cost").check()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    rows = page.locator("#figures tbody tr")
    computed = int(re.match(r"TraCache(\d+) /", rows.nth(1).inner_text().replace("\t", ""))[1])
    assert 2 < computed < 20
    # Equal cost is what was really computed.
    expect(rows.nth(2)).to_contain_text(f"Fewer steps{computed} / 0")


def test_a_preset_takes_the_place_of_the_sliders(open_page):
    page = open_page()
    box(page).fill(PROMPT)
    choose(page, "Preset", "20 steps, 6 computed (3.3× fewer block calls)")
    expect(page.locator("#preset-note")).to_contain_text("Computes the 6 steps")
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_be_hidden()
    press(page, "Generate")
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("TraCache6 / 14")


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
    assert image_width(page, "accelerated") == 128
    # A warm-up of two steps, and every third after it.
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("TraCache3 / 3")
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
    expect(page.get_by_text(message)).to_be_visible()


def test_a_model_that_cannot_run_here_says_why(open_page):
    page = open_page()
    choose(page, "Model", "DiT-XL/2, 256 × 256 (class to image)")
    alert = page.locator("#model-note").get_by_role("alert")
    expect(alert).to_contain_text("Not available here.")
    expect(alert).to_contain_text("facebook/DiT-XL-2-256 is not downloaded and the Hub is switched")
    press(page, "Generate")
    expect(page.get_by_text("facebook/DiT-XL-2-256 is not downloaded")).to_have_count(2)
    # The rest of the page works.
    choose(page, "Model", "Scenes (embedded, text to image)")
    expect(alert).to_be_hidden()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 4)
    box(page).fill(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
