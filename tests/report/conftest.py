"""A browser for the tests of the page; without one they are skipped, and say so."""

from __future__ import annotations

import shutil

import pytest
from paged import WAIT


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium, headless."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: the page was not opened")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium: the page was not opened (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Open a page: `opened(path, width=..., ...)`. It must stay silent and ask nothing of anybody."""
    contexts, said, asked = [], [], []

    def open_(path, *, width=1280, height=720, scheme="light", **more):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready], #failure:not([hidden])", state="attached")
        assert page.locator("#failure").is_hidden(), page.locator("#failure").text_content()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("file:")] == []
    assert len(asked) == len(contexts)
