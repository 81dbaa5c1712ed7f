"""The page, driven as a visitor drives it."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PROMPT = "a shiny red sphere on water at sunset"


def box(page):
    return page.get_by_role("textbox", name="Prompt")


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def set_number(page, label, value):
    """Type into the number field of a slider, until the slider follows.

    A field that has just been unfolded may not listen yet, and would be set back.
    """
    field = page.get_by_role("spinbutton", name=re.compile(label))
    slider = page.get_by_role("slider", name=re.compile(label))
    for _ in range(40):
        field.fill(str(value))
        field.blur()
        page.wait_for_timeout(150)
        if float(slider.input_value()) == value and float(field.input_value()) == value:
            return
    raise AssertionError(f"{label} does not become {value}")


def shown(page, arm):
    """The picture of an arm in the viewer, once it is finished and loaded."""
    picture = page.locator(f'.tcv-tile[data-arm="{arm}"] .tcv-media:not(.tcv-rough)')
    picture.wait_for()
    picture.evaluate("media => media.decode ? media.decode() : null")
    return picture


def image_width(page, arm):
    return shown(page, arm).evaluate("image => image.naturalWidth")


def test_the_main_job(open_page):
    """Press Generate, see two images, figures and the heatmap."""
    page = open_page()
    expect(page.locator("#status")).to_contain_text("Press Generate")
    expect(page.get_by_text(re.compile(r"Runs on .*(CPU|GPU|NVIDIA|Apple)"))).to_be_visible()
    expect(box(page)).to_have_value(PROMPT)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.locator("#status")).to_contain_text(re.compile(r"20 of 20 steps, \d+\.\d s"))
    assert image_width(page, "full") == 128
    assert image_width(page, "tracache") == 128
    assert shown(page, "full").get_attribute("src").endswith("/full.png")
    assert shown(page, "tracache").get_attribute("alt") == f"{PROMPT}, by TraCache"
    rows = page.locator("#figures tbody tr")
    assert rows.count() == 2
    expect(rows.nth(0)).to_contain_text("Full compute20 / 0")
    expect(rows.nth(1)).to_contain_text(re.compile(r"TraCache\d+ / \d+.*s.*×.*MiB.*dB"))
    expect(page.locator("#headline")).to_contain_text("than full compute")
    expect(page.locator("#heatmap .js-plotly-plot .heatmaplayer image").first).to_be_attached()
    expect(page.locator("#heatmap")).to_contain_text("timestep, noisiest first")
    expect(page.locator("#heatmap-text")).to_contain_text("of 20 steps computed all")
    expect(page.locator(".tc-gallery li")).to_have_count(1)


def test_a_preview_shows_before_the_picture(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 100)
    press(page, "Generate")
    rough = page.locator('.tcv-tile[data-arm="full"] img.tcv-rough')
    rough.wait_for()
    assert rough.get_attribute("src").startswith("data:image/png")
    expect(page.locator('.tcv-tile[data-arm="tracache"]')).to_contain_text("not begun")
    press(page, "Stop")
    expect(page.locator("#status")).to_contain_text("Stopped")


def test_more_arms_are_one_choice_away(open_page):
    page = open_page()
    add_arm(page, "Fewer steps")
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    assert image_width(page, "fewer-steps") == 128
    expect(page.locator("#figures tbody tr").nth(2)).to_contain_text("Fewer steps")


def add_arm(page, title):
    page.get_by_label("Compare with as well").click()
    page.get_by_role("option", name=title, exact=True).click()
    page.keyboard.press("Escape")


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


ARMS = ("full", "tracache")


def test_videos_play_in_step(open_page):
    page = open_page()
    choose(page, "Model", "Moving scenes (embedded, text to video)")
    expect(box(page)).to_have_value("a red cube slides to the right on grass")
    page.get_by_role("button", name="Steps, guidance, seed").click()
    expect(page.get_by_role("spinbutton", name=re.compile("Steps"))).to_have_value("30")
    set_number(page, "Steps", 4)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    page.wait_for_function(
        "[...document.querySelectorAll('.tcv video')].filter(v => v.readyState == 4).length == 2"
    )
    times = "[...document.querySelectorAll('.tcv video')].map(v => v.currentTime)"
    # They move, loop, and stay together.
    seen = []
    for _ in range(30):
        seen.append(page.evaluate(times))
        page.wait_for_timeout(100)
    assert max(abs(a - b) for a, b in seen) < 1 / 8
    leads = [a for a, _ in seen]
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
    assert download.value.suggested_filename == "tracache.mp4"


def test_a_video_prompt_is_built_from_its_own_words(open_page):
    page = open_page()
    choose(page, "Model", "Moving scenes (embedded, text to video)")
    expect(box(page)).to_have_value("a red cube slides to the right on grass")
    page.get_by_role("button", name="Build a prompt").click()
    choose(page, "Motion", "orbits clockwise")
    expect(box(page)).to_have_value(
        re.compile(r"^a \w+ (sphere|cube|cone) orbits clockwise around a \w+ \w+ on \w+$")
    )
    choose(page, "Motion", "rolls to the left")
    expect(box(page)).to_have_value(re.compile(r"^a \w+ (sphere|ring) rolls to the left on \w+$"))


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
    expect(page.get_by_label("Accelerated by")).to_have_value("Reuse (FORA)")
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_have_value("4")
    press(page, "Generate")
    expect(page.locator("#figures tbody tr").nth(1)).to_contain_text("Reuse (FORA)3 / 5")
    assert "class_label=12" in page.url


def test_a_link_that_is_wrong_says_so(open_page, server):
    page = open_page(address=f"{server}/?model=scenes-t2i&prompt=x&stride=many")
    expect(page.get_by_text("stride in the link must be a whole number")).to_be_visible()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")


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
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything (.zip)").click()
    assert download.value.suggested_filename.endswith(".zip")


def test_a_baseline_that_is_reused_says_so(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 5)
    set_number(page, "Guidance", 4.5)
    press(page, "Generate")
    expect(page.locator("#figures tbody tr").nth(0)).to_contain_text("Full compute5 / 0")
    took = page.locator("#figures tbody tr").nth(0).inner_text().split("\t")[2]
    set_number(page, "Stride", 2)
    press(page, "Generate")
    row = page.locator("#figures tbody tr").nth(0)
    expect(row).to_contain_text("Full compute, reused")
    expect(row).to_contain_text(took)
    expect(page.locator("#status")).to_contain_text("reused")


def test_what_a_run_will_cost_is_known_before(open_page):
    page = open_page()
    add_arm(page, "Fewer steps")
    press(page, "What will it cost?")
    cost = page.locator("#cost li")
    expect(cost).to_have_count(3)
    expect(cost.nth(0)).to_contain_text(re.compile(r"Full compute: 20 steps, .* MACs"))
    expect(cost.nth(1)).to_contain_text(re.compile(r"TraCache: 0\.4\d+ of those MACs, 2\.\d+×"))
    expect(page.locator("#status")).to_contain_text("Press Generate")


def test_a_model_of_many_sizes_offers_them_and_has_a_ceiling(open_page):
    page = open_page()
    choose(page, "Model", "Open-Sora 1.2, 480p, 51 frames (text to video)")
    expect(page.locator("#model-note").get_by_role("alert")).to_contain_text("Not available here.")
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Frames", 408)
    choose(page, "Resolution", "720p")
    press(page, "What will it cost?")
    expect(page.get_by_text(re.compile("times what Open-Sora 1.2.* may take"))).to_be_visible()


def test_paces_set_the_schedule(open_page):
    page = open_page()
    press(page, "Fast")
    expect(page.get_by_label("Preset", exact=True)).to_have_value(re.compile("5 computed"))
    expect(page.locator("#preset-note")).to_contain_text("Computes the 5 steps")
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    press(page, "Fast")
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_have_value("4")


def test_a_sweep_fills_in_and_leads_to_its_cells(open_page, server):
    page = open_page(address=f"{server}/sweep", wait_for="Run the sweep")
    set_number(page, "Steps", 6)
    for box_ in ("4", "5"):
        page.get_by_label(box_, exact=True).first.uncheck()
    press(page, "Run the sweep")
    expect(page.locator("#sweep-status")).to_contain_text("Done.")
    cells = page.locator(".tc-sweep td a")
    assert cells.count() == 2 * 5
    expect(cells.nth(0)).to_contain_text(re.compile(r"\d+\.\d×, (\d+\.\d dB|the same)"))
    expect(page.locator("#sweep-plot .js-plotly-plot")).to_be_visible()
    cells.nth(3).click()
    page.get_by_role("button", name="Generate").wait_for()
    expect(page.locator("#status")).to_contain_text("Done.")
    expect(page.get_by_role("spinbutton", name=re.compile("Stride"))).to_have_value("2")
    expect(page.get_by_role("spinbutton", name=re.compile("Max order"))).to_have_value("3")


def test_how_it_works_shows_equations_and_figures(open_page, server):
    page = open_page(address=f"{server}/how", wait_for=None)
    expect(page.get_by_role("heading", name="How it works")).to_be_visible()
    assert page.locator(".katex-display").count() == 2
    expect(page.locator("#how-curve .js-plotly-plot")).to_be_visible()
    expect(page.locator("#how-choice .js-plotly-plot")).to_be_visible()


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
    page.locator("#examples").get_by_role("button", name="a shiny yellow ring").click()
    expect(box(page)).to_have_value("a shiny yellow ring on grass at night")


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
    assert image_width(page, "tracache") == 128


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
    add_arm(page, "Fewer steps")
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
    assert image_width(page, "tracache") == 128
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


def test_a_cell_of_the_heatmap_shows_its_candidates(open_page):
    page = open_page()
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    said = page.locator(".tci-said")
    expect(said).to_contain_text("Block 11, step")
    # By hand, and by a click on the figure.
    page.locator(".tci-step").select_option("7")
    expect(said).to_contain_text("Block 11, step 8: order")
    expect(page.locator(".tci-least")).to_have_count(1)
    plane = page.locator("#heatmap .nsewdrag").first
    plane.scroll_into_view_if_needed()
    area = plane.bounding_box()
    corner = {"x": area["width"] * 0.02, "y": area["height"] * 0.95}
    # The figure takes a click where it has noticed the pointer.
    plane.hover(position=corner, force=True)
    expect(page.locator("#heatmap .hoverlayer")).to_contain_text("block 1, step 1")
    plane.click(position=corner, force=True)
    expect(said).to_have_text("Block 1, step 1: computed.")


def test_the_path_of_a_block_is_drawn(open_page):
    page = open_page()
    page.get_by_role("button", name="Steps, guidance, seed").click()
    set_number(page, "Steps", 10)
    press(page, "Generate")
    expect(page.locator("#status")).to_contain_text("Done.")
    page.get_by_role("button", name="The path of a block").click()
    choose(page, "Block", "Block 3")
    press(page, "Draw its path")
    expect(page.locator("#path .js-plotly-plot")).to_be_visible()
    expect(page.locator("#path")).to_contain_text("block 3")
    expect(page.locator("#path-text")).to_contain_text(
        re.compile(r"reuse is \d+\.\d% away from it and TraCache is \d+\.\d% away")
    )


def test_recorded_examples_say_where_they_come_from(open_page):
    page = open_page()
    expect(page.locator(".tcv-label")).to_contain_text(re.compile(r"recorded on CPU .*\d{4}-"))
    assert image_width(page, "tracache") == 128
    expect(page.locator(".tce-title")).to_contain_text("recorded on")
    page.wait_for_function(
        "[...document.querySelectorAll('.tce img')].filter(i => i.naturalWidth == 128).length == 5"
    )
    choose(page, "Model", "Scenes by class (embedded, class to image)")
    expect(page.get_by_label("Class", exact=True)).to_have_value("red sphere")
    page.locator("#examples").get_by_role("button", name="yellow ring").click()
    expect(page.get_by_label("Class", exact=True)).to_have_value("yellow ring")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("route", ["", "sweep", "how"])
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
        expect(page.locator("#heatmap .js-plotly-plot")).to_be_visible()
    if route == "how":
        expect(page.locator("#how-choice .js-plotly-plot")).to_be_visible()
    wanted = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}}
    found = Axe().run(page, options=wanted).response["violations"]
    assert {v["id"]: [node["target"] for node in v["nodes"]] for v in found} == {}


def test_the_whole_of_it_by_keyboard(open_page):
    """From the prompt to the picture without a mouse."""
    page = open_page()
    box(page).focus()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("a matte blue cube on snow in daylight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Generate"
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Done.")
    page.get_by_role("button", name="Difference").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".tcv-pair")).to_be_visible()
