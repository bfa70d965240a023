"""A check of the built site: each link leads to a page, and each fragment to an anchor of it."""

import os
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The anchors and links of a page, and its images without a text."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.mute: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        self.links |= {given[key] for key in ("href", "src", "srcset") if given.get(key)}
        if tag == "img" and not given.get("alt"):
            self.mute.add(given.get("src", ""))


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def dead_links(site: Path) -> list[str]:
    """Return a line for each link of a built site that leads nowhere, and each mute image."""
    pages = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    return [f"{path.relative_to(site)}: {fault}" for path in pages for fault in _faults(path, site)]


def _faults(path: Path, site: Path) -> list[str]:
    page = _read(path)
    dead = [f"dead link {link}" for link in sorted(page.links) if not _is_alive(link, path, site)]
    return [*dead, *(f"no alt text: {source}" for source in sorted(page.mute))]


def _is_alive(link: str, path: Path, site: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    base = site if parts.path.startswith("/") else path.parent
    file = Path(os.path.normpath(base / unquote(parts.path).lstrip("/"))) if parts.path else path
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or file.suffix != ".html" or anchor in _read(file).anchors
