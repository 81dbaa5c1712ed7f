"""What a visitor does on the page, for the tests to say in their words."""

import re
from urllib.parse import urlencode

from playwright.sync_api import expect

PROMPT = "a shiny red sphere on water at sunset"


def long_run(server, **changes):
    """Address of a page whose request takes seconds; a seed of its own finds nothing to reuse."""
    video = {"model": "scenes-t2v", "prompt": "a red cube slides to the right on grass"}
    return f"{server}/?{urlencode({**video, 'steps': 100, **changes})}"


def box(page):
    return page.get_by_role("textbox", name="Prompt", exact=True)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


#: What stands in the group of the method.
FOLDED = ("Accelerated by", "Preset")

METHOD, SAMPLING = "Method and arms", "Steps, guidance, seed"


def unfold(page, name=METHOD):
    """Open a group of settings, if it is closed."""
    fold = page.get_by_role("button", name=name)
    if "open" not in fold.get_attribute("class").split():
        fold.click()
        expect(fold).to_have_class(re.compile(r"\bopen\b"))


def set_number(page, label, value):
    """Type into the number field of a slider, until the slider follows.

    A field that has just been unfolded may not listen yet, and would be set back.
    """
    field = page.get_by_role("spinbutton", name=re.compile(label))
    slider = page.get_by_role("slider", name=re.compile(label))
    for last in (False,) * 20 + (True,):
        field.fill(str(value))
        field.blur()
        try:
            expect(slider).to_have_value(str(value), timeout=300)
            expect(field).to_have_value(str(value), timeout=300)
        except AssertionError:
            if last:
                raise
        else:
            return


def choose(page, label, option):
    """Choose from a drop-down, in its group of settings where it has one."""
    if label in FOLDED:
        unfold(page)
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def add_arm(page, title):
    unfold(page)
    page.get_by_label("Compare with as well").click()
    page.get_by_role("option", name=title, exact=True).click()
    page.keyboard.press("Escape")


def shown(page, arm):
    """The picture of an arm in the viewer, once it is finished and loaded."""
    picture = page.locator(f'.tcv-tile[data-arm="{arm}"] .tcv-media:not(.tcv-rough)')
    picture.wait_for()
    picture.evaluate("media => media.decode ? media.decode() : null")
    return picture


def image_width(page, arm):
    return shown(page, arm).evaluate("image => image.naturalWidth")
