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

#: The first is told apart, as it is of comparisons; the middle one of the others counts.
SWEEPS = 6

PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"


#: Notes when the first picture of a run shows: a preview, or one that was at hand.
WATCH = """() => {
  window.previewAfter = null;
  const begun = performance.now();
  const old = new Set([...document.querySelectorAll("#viewer img")].map((image) => image.src));
  const look = () => {
    const fresh = [...document.querySelectorAll("#viewer img")].some((i) => !old.has(i.src));
    if (fresh) window.previewAfter = (performance.now() - begun) / 1000;
    else requestAnimationFrame(look);
  };
  look();
}"""


def visit(browser, address):
    """Return seconds to the first paint and to a button; from a press to what comes of it."""
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
    page.evaluate(WATCH)
    generate.click()
    # All pictures are there, and how far apart they are; rounds for the clock follow.
    page.locator("#headline").get_by_text(" dB").first.wait_for()
    pictures = time.perf_counter() - begun
    page.locator("#status").get_by_text("Done.").wait_for()
    done = time.perf_counter() - begun
    preview = page.evaluate("previewAfter")
    context.close()
    return paint, ready, preview, pictures, done


def sweep(browser, address):
    """Return seconds that a sweep of twenty cells takes."""
    page = browser.new_page()
    page.goto(f"{address}/sweep")
    page.get_by_role("button", name="Run the sweep").wait_for()
    page.wait_for_timeout(1500)
    # Four numbers of computed steps by five methods.
    begun = time.perf_counter()
    page.get_by_role("button", name="Run the sweep").click()
    page.locator("#sweep-status").get_by_text("Done.").wait_for()
    took = time.perf_counter() - begun
    assert page.locator(".tc-sweep td a").count() == 20
    page.close()
    return took


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
        swept = [sweep(browser, server) for _ in range(SWEEPS)]
        browser.close()
    paints, readies, previews, pictures, dones = zip(*visits, strict=True)
    found = {
        "visits": args.visits,
        "first_contentful_paint_s": statistics.median(paints),
        "button_there_s": statistics.median(readies),
        "first_comparison_of_all_s": dones[0],
        "later_first_preview_s": statistics.median(previews[1:]),
        "later_pictures_of_all_arms_s": statistics.median(pictures[1:]),
        "later_comparison_timed_too_s": statistics.median(dones[1:]),
        "first_sweep_of_20_cells_s": swept[0],
        "later_sweep_of_20_cells_s": statistics.median(swept[1:]),
        "later_sweeps_spread_s": max(swept[1:]) - min(swept[1:]),
    }
    print(json.dumps({name: round(value, 2) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
