"""Screenshots of a page of runs are for the docs.

The command is `python -m tests.support.page_screenshots PAGE FOLDER`.

It needs Playwright with Chromium, and `pdftoppm` of Poppler for the sheet of paper.
"""

import io
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

_PLOTTED = """() => [...document.querySelectorAll(".vega")]
  .every((e) => e.querySelector("svg.marks, canvas"))"""
_PARTS = {"table": "#runs", "attacks": ".protocol .pair", "compare": ".compare"}


def _opened(browser: Browser, page: Path, width: int, theme: str) -> Page:
    opened = browser.new_page(viewport={"width": width, "height": 800})
    opened.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    opened.goto(page.resolve().as_uri())
    opened.wait_for_function(_PLOTTED, timeout=120_000)
    return opened


def _write(content: bytes, path: Path) -> None:
    """Write a screenshot without loss, in fewer bytes than the browser does."""
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").save(path, optimize=True)


def _paper(page: Page, sheet: int) -> bytes:
    """Return a sheet of the printed page."""
    command = ["pdftoppm", "-r", "75", "-f", str(sheet), "-l", str(sheet), "-png", "-"]
    return subprocess.run(command, input=page.pdf(), capture_output=True, check=True).stdout


def main(page: Path, folder: Path) -> None:
    """Write the screenshots `report_*.png`."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        wide = _opened(browser, page, 1280, "light")
        _write(wide.screenshot(), folder / "report_answer.png")
        # What follows the reader would lie over the parts.
        wide.add_style_tag(content="nav, .legend { position: static !important; }")
        compare = wide.locator(".compare").first
        runs = compare.get_by_label("Second run").locator("option")
        compare.get_by_label("Second run").select_option(index=min(2, runs.count() - 1))
        compare.get_by_label("Images under").select_option("deployed")
        for name, selector in _PARTS.items():
            part = wide.locator(selector).first
            part.scroll_into_view_if_needed()
            _write(part.screenshot(), folder / f"report_{name}.png")
        _write(_paper(wide, 1), folder / "report_paper.png")
        phone = _opened(browser, page, 400, "dark")
        _write(phone.screenshot(), folder / "report_phone.png")
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
