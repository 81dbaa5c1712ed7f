"""How soon the page is there and a first comparison is done: ``python -m tests.browser.speed``.

Starts the app as a visitor finds it, opens it in Chromium several times, each without a cache, and
prints medians as JSON. The first comparison of all is told apart: it computes what later ones find.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.app import start_app
from tests.browser.conftest import launch_chromium

PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"


def visit(browser, address):
    """Return seconds to the first paint, to a button that works, and of one comparison."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(address)
    generate = page.get_by_role("button", name="Generate", exact=True)
    generate.wait_for()
    ready = time.perf_counter() - begun
    paint = page.evaluate(PAINT)
    # Pressed as soon as it is there, it might not listen yet.
    page.wait_for_timeout(1500)
    begun = time.perf_counter()
    generate.click()
    page.locator("#status").get_by_text("Done.").wait_for()
    done = time.perf_counter() - begun
    context.close()
    return paint, ready, done


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=7)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        start_app(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        browser = launch_chromium(playwright)
        visits = [visit(browser, server) for _ in range(args.visits)]
        browser.close()
    paints, readies, dones = zip(*visits, strict=True)
    found = {
        "visits": args.visits,
        "first_contentful_paint_s": statistics.median(paints),
        "button_there_s": statistics.median(readies),
        "first_comparison_of_all_s": dones[0],
        "later_comparison_s": statistics.median(dones[1:]),
    }
    print(json.dumps({name: round(value, 2) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
