"""Pages of the repository as pages of the site, with the same links."""

import os
import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_SOURCE = re.compile(r'((?:src|srcset)=")([^"]+)(")')
ELSEWHERE = ("http://", "https://", "mailto:", "#")


def sources() -> dict[str, Path]:
    """Return the pages of the repository by their paths in the site."""
    docs = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}
    papers = {
        f"papers/{path.parent.name}.md": path
        for path in sorted((ROOT / "papers").glob("*/README.md"))
    }
    top = {
        "index.md": "README.md",
        "contributing.md": "CONTRIBUTING.md",
        "changelog.md": "CHANGELOG.md",
        "security.md": "SECURITY.md",
    }
    return {**{page: ROOT / name for page, name in top.items()}, **docs, **papers}


def write_pages(folder: Path) -> None:
    """Write the pages, and every file that they link to, into an empty folder."""
    pages = sources()
    places = {path: page for page, path in pages.items()}
    for page, path in pages.items():
        text, linked = rewritten(path, page, places, path.read_text(encoding="utf-8"))
        write(folder / page, text)
        for file, place in linked.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / place)


def write(path: Path, text: str) -> None:
    """Write a page, in a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rewritten(
    path: Path, page: str, places: Mapping[Path, str], text: str
) -> tuple[str, dict[Path, str]]:
    """Return a page with its links as the site needs them, and the files that they lead to.

    Args:
        path: The page in the repository.
        page: Its path in the site.
        places: The pages of the site by their files.
        text: What it says.

    Returns:
        Its text, and other files by the places where the site has them.
    """
    files: dict[Path, str] = {}

    def moved(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        if target.startswith(ELSEWHERE):
            return found.group()
        name, hash_sign, anchor = target.partition("#")
        file = Path(os.path.normpath(path.parent / name))
        place = places.get(file) or _place(file, files)
        return f"{before}{_relative(place, page)}{hash_sign}{anchor}{after}"

    lines = outside_code(text)
    new = "".join(
        _SOURCE.sub(moved, LINK.sub(moved, line)) if is_prose else line for line, is_prose in lines
    )
    return new, files


def outside_code(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is outside of a block of code."""
    is_prose = True
    for line in text.splitlines(keepends=True):
        fence = line.lstrip().startswith("```")
        yield line, is_prose and not fence
        is_prose ^= fence


def _place(file: Path, files: dict[Path, str]) -> str:
    """Return where the site has a file that is no page; a folder is its listing."""
    inside = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        return f"files/{inside}.md"
    is_image = inside.startswith("docs/images/")
    files[file] = inside.removeprefix("docs/") if is_image else f"files/{inside}"
    return files[file]


def _relative(place: str, page: str) -> str:
    return posixpath.relpath(place, posixpath.dirname(page) or ".")


def folders() -> set[Path]:
    """Return the folders that pages link to."""
    found = set()
    for path in sources().values():
        for line, is_prose in outside_code(path.read_text(encoding="utf-8")):
            for _, target, _ in LINK.findall(line) if is_prose else ():
                file = Path(os.path.normpath(path.parent / target))
                found |= {file} if not target.startswith(ELSEWHERE) and file.is_dir() else set()
    return found


def write_folders(folder: Path) -> None:
    """Write a page for each folder that pages link to: its files, with their text."""
    for linked in sorted(folders()):
        inside = linked.relative_to(ROOT).as_posix()
        parts = [f"# {inside}\n"]
        for path in sorted(linked.glob("*.py")):
            code = path.read_text(encoding="utf-8")
            parts.append(f"## {path.name}\n\n```python\n{code}```\n")
        write(folder / "files" / f"{inside}.md", "\n".join(parts))
