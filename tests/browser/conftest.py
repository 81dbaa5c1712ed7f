"""Chromium, and a page that fails the test when its scripts do."""

import os
import shutil

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing():
    """Return why the browser cannot run, or None."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install -e '.[test]'"
    if not any(map(shutil.which, CHROMIUM)):
        return "Chromium is not installed: apt-get install -y chromium fonts-liberation"
    return None


def launch_chromium(playwright):
    """Start the system's Chromium, as containers can run it."""
    return playwright.chromium.launch(
        executable_path=next(filter(None, map(shutil.which, CHROMIUM))),
        args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    )


@pytest.fixture(scope="session")
def browser():
    reason = missing()
    if reason and os.environ.get("TRACACHE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    # A run takes longer than the usual five seconds where the processor is shared.
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        chromium = launch_chromium(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, server):
    """Open the page at a size and theme; requests to anywhere else are refused and noted.

    What its own policy forbids it is noted too, wanted or not.
    """
    contexts, errors, strays, forbidden = [], [], [], []

    def route(request):
        if request.request.url.startswith((server, "data:", "blob:")):
            request.continue_()
        else:
            strays.append(request.request.url)
            request.abort()

    def listen(message):
        if "Content Security Policy" in message.text:
            forbidden.append(message.text)

    def open_(width=1440, height=1000, theme="light", address="", wait_for="Generate"):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", listen)
        page.route("**/*", route)
        page.goto(address or f"{server}/?__theme={theme}")
        if wait_for:
            page.get_by_role("button", name=wait_for, exact=True).wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []
    assert strays == []
    assert forbidden == []
