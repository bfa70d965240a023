"""Build the site: ``python -m docsite``; with ``--pages`` only the pages that it is built from."""

import shutil
import subprocess
import sys

from docsite.links import dead_links
from docsite.pages import ROOT, write_folders, write_pages
from docsite.reference import write_reference

BUILD = ROOT / "build"


def write_all() -> None:
    """Write all pages that the site is built from."""
    shutil.rmtree(BUILD / "docs", ignore_errors=True)
    write_pages(BUILD / "docs")
    write_folders(BUILD / "docs")
    write_reference(BUILD / "docs")


def build() -> int:
    """Build the site, and return 1 if there was a warning, a dead link or a mute image."""
    config = str(ROOT / "zensical.toml")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", config]
    code = subprocess.run(command, check=False, cwd=ROOT).returncode
    found = [] if code else dead_links(BUILD / "site")
    print("\n".join(found) if found else f"The site is {BUILD / 'site'}." if not code else "")
    return int(bool(code or found))


if __name__ == "__main__":
    write_all()
    sys.exit(0 if sys.argv[1:] == ["--pages"] else build())
