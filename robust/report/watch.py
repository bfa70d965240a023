"""The page is served to the browser of this machine, and made again as runs progress."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from robust.errors import ConfigError
from robust.io import files
from robust.report.page import render
from robust.results.run_folder import Reader, run_folders

_FILES = (
    "config.yaml",
    "metrics*.csv",
    "checkpoints/*.ckpt",
    "records/*",
    "figures/*.png",
    "figures/*/*.png",
)
_REST = 5
"""A page is made again after so many times the time that making it takes."""
_LONGEST_REST = 60.0


class Page:
    """The newest page of some runs, which several threads may ask for.

    Args:
        make: Makes the page.
        state: Says in which state the runs are; a page is as new as the state that it shows.
    """

    def __init__(self, make: Callable[[], str], state: Callable[[], str]) -> None:
        self._make, self._state = make, state
        self._lock = threading.Lock()
        self._version = self._text = ""
        self._rest_until = 0.0

    def version(self) -> str:
        """Return the state that the newest page shows; the page is made first if runs changed."""
        with self._lock:
            if time.monotonic() >= self._rest_until:
                self._renew()
            return self._version

    def text(self) -> str:
        """Return the newest page."""
        self.version()
        return self._text

    def _renew(self) -> None:
        begun = time.monotonic()
        try:
            state = self._state()
            if state == self._version:
                return
            self._text = self._make()
        except ConfigError:
            # The folders are gone for the moment, and the last page is still right.
            if not self._text:
                raise
            return
        self._version = state
        took = time.monotonic() - begun
        self._rest_until = time.monotonic() + min(_REST * took, _LONGEST_REST)


def watched_page(
    roots: Sequence[Path], tables: Path, *, loose: bool = False, against: Path | None = None
) -> Page:
    """Return the page of the runs in and below some folders; see `robust.report.render`."""
    reader = Reader()
    return Page(
        lambda: render(roots, tables, reader, watched=True, loose=loose, against=against),
        lambda: state_of(roots),
    )


def state_of(roots: Sequence[Path]) -> str:
    """Return a hash of the names, sizes and times of all files that a page shows.

    Raises:
        ConfigError: If a folder does not exist.
    """
    digest = hashlib.sha256()
    for folder in (folder for root in roots for folder in run_folders(root)):
        for path in sorted(path for pattern in _FILES for path in folder.glob(pattern)):
            try:
                status = path.stat()
            except OSError:  # a part of records, merged since
                continue
            digest.update(files.encoded(f"{path} {status.st_mtime_ns} {status.st_size}\n"))
    return digest.hexdigest()


def server(page: Page, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of one page on 127.0.0.1, at ``/``, with its version at ``/version``.

    Args:
        page: The page.
        port: Where to listen; 0 for any free port.

    Raises:
        ConfigError: If the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Pages of other sites use other names for this machine, and may not read it.
            name = self.headers.get("Host", "").rpartition(":")[0]
            answer = {"/": page.text, "/version": page.version}.get(self.path.partition("?")[0])
            if answer is None or name not in ("127.0.0.1", "localhost"):
                self.send_error(404)
                return
            content = files.encoded(answer())
            self.send_response(200)
            kind = "text/plain" if self.path.startswith("/version") else "text/html"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing, since the page asks every few seconds."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ConfigError(
            f"Expected a free port, but got {port} ({error.strerror}). Choose another with --port, "
            "or none."
        ) from None
