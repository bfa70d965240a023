"""A real browser for pages; skipped where Playwright or Chromium is not installed."""

import shutil

import pytest


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, file):
    """Opens the page; nothing may be printed on its console, and nothing asked of a network."""
    pages, trouble = [], []

    def visit(width=1280, theme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        pages.append(page)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: trouble.append(request.url))
        page.goto(file.as_uri())
        return page

    yield visit
    for page in pages:
        page.close()
    assert [
        line for line in trouble if not line.startswith(("data:", "blob:", file.as_uri()))
    ] == []
