"""Takes the README's pictures from the running app: ``python -m tests.browser.screenshots``.

Needs Chromium and the test extra, like the browser tests.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.app import ROOT, start_app
from tests.browser.conftest import launch_chromium

OUTPUT = ROOT / ".github"
MOST_BYTES = 300_000


def main() -> None:
    """Serve the app, take each picture, and check its size."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_app(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        chromium = launch_chromium(playwright)
        for name, take in PICTURES.items():
            page = chromium.new_page(viewport={"width": 1440, "height": 1180})
            page.set_default_timeout(120_000)
            take(page, address)
            save(page, name)
            page.close()
        chromium.close()


def save(page: Page, name: str) -> None:
    """Write what is seen as WebP, small enough for a README."""
    image = Image.open(io.BytesIO(page.screenshot()))
    file = OUTPUT / f"{name}.webp"
    image.save(file, quality=88, method=6)
    assert file.stat().st_size <= MOST_BYTES, f"{file} has {file.stat().st_size} bytes"
    print(file.relative_to(ROOT), file.stat().st_size)


def generate(page: Page) -> None:
    """Press the button and wait for the end."""
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator("#status").get_by_text("Done.").wait_for()
    page.locator("#heatmap .tch-map").wait_for()
    page.wait_for_timeout(1500)


def compare(page: Page, address: str) -> None:
    """The front page after its first run."""
    page.goto(f"{address}/?__theme=light")
    generate(page)


def orders(page: Page, address: str) -> None:
    """What the method decided, on a dark page."""
    prompt = "a+matte+green+cone+left+of+a+shiny+white+sphere+on+sand+in+daylight"
    query = f"model=scenes-t2i&prompt={prompt}&steps=50&stride=5&max_order=4&arms=published"
    page.goto(f"{address}/?{query}&__theme=dark")
    page.locator("#share button").first.wait_for()
    generate(page)
    page.get_by_role("button", name="The path of a block").click()
    page.get_by_role("button", name="Draw its path").click()
    page.locator("#path .js-plotly-plot").wait_for()
    page.locator("#headline").evaluate("node => node.scrollIntoView()")
    page.locator("#share").evaluate("node => node.scrollIntoView()")
    page.wait_for_timeout(1000)


def video(page: Page, address: str) -> None:
    """Two videos in step, their frames and their nearness."""
    prompt = "a+pink+sphere+orbits+clockwise+around+a+blue+cone+on+snow"
    page.goto(f"{address}/?model=scenes-t2v&prompt={prompt}&__theme=light")
    page.locator("#share button").first.wait_for()
    generate(page)


def sweep(page: Page, address: str) -> None:
    """A sweep, filled in."""
    page.goto(f"{address}/sweep?__theme=light")
    page.get_by_role("button", name="Run the sweep").click()
    page.locator("#sweep-status").get_by_text("Done.").wait_for()
    page.wait_for_timeout(1500)


PICTURES = {"compare": compare, "orders": orders, "video": video, "sweep": sweep}

if __name__ == "__main__":
    main()
