"""A server that is killed and started again: what people sent each other still works."""

import os
import re
import signal
import socket

import pytest
from playwright.sync_api import expect

from tests.app import start_app
from tests.browser.visitor import press, set_number, shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PIXELS = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL();
}"""


@pytest.fixture
def open_anywhere(browser):
    contexts = []

    def open_(address):
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.get_by_role("button", name="Generate", exact=True).wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()


def test_a_link_outlives_its_server(open_anywhere, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with start_app(tmp_path, port) as server:
        page = open_anywhere(server)
        set_number(page, "Computed steps", 4)
        page.get_by_role("button", name="Steps, guidance, seed").click()
        set_number(page, "Steps", 9)
        press(page, "Generate")
        expect(page.locator("#status")).to_contain_text("Done.")
        link, picture = page.url, shown(page, "tracache").evaluate(PIXELS)
        assert "run=" in link
        # Neither asked nor able to put anything away.
        os.killpg(server.pid, signal.SIGKILL)
    with start_app(tmp_path, port):
        again = open_anywhere(link)
        expect(again.get_by_text("That run is no longer kept.")).to_be_visible()
        computed = again.get_by_role("spinbutton", name=re.compile("Computed steps"))
        expect(computed).to_have_value("4")
        press(again, "Generate")
        expect(again.locator("#status")).to_contain_text("Done.")
        assert shown(again, "tracache").evaluate(PIXELS) == picture
        # The page that was open all the while goes on as well.
        press(page, "Generate")
        expect(page.locator("#status")).to_contain_text("Done.")
