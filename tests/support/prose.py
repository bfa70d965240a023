"""The checker of prose: short lines, short sentences, plain words, links that resolve.

``python -m tests.support.prose [PATHS]`` prints what is wrong and where, and exits with 1 if
anything is. PATHS are Markdown pages, Python files, and folders with Python files. Without any, it
reads every page, config and Python file of the repository; of a config, its comments.
"""

import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from tests.support import python_prose
from tests.support.prose_rules import ITEM, LINK, Block, Fault, long_sentences, other_words

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 100

_KINDS = {"": "blank", "|": "table", "#": "heading"}
_FAULTY = ("tests/test_prose.py", "tests/test_python_prose.py", "tests/support/plain_words.py")
"""Files that hold such words on purpose."""
_CODE = (
    "robust",
    "tests",
    "benchmarks",
    "examples",
    "papers",
    "docsite",
    "train.py",
    "evaluate.py",
)


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page in order."""
    groups = [list(group) for _, group in groupby(_marked(text), key=lambda entry: entry[:2])]
    return [Block(group[0][1], group[0][2], [line for *_, line in group]) for group in groups]


def _marked(text: str) -> Iterator[tuple[int, str, int, str]]:
    """Yield each line with the number of its block, its kind and its own number."""
    fence, block, last = False, 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        marks = line.lstrip().startswith("```")
        kind = "code" if fence or marks else _KINDS.get(line.strip()[:1], "text")
        block += kind != last or (kind == "text" and bool(ITEM.match(line)))
        fence, last = fence != marks, kind
        yield block, kind, number, line


def long_lines(block: Block) -> Iterator[Fault]:
    """Yield lines beyond the last column, unless one word or link is all that they hold."""
    for number, line in enumerate(block.lines, start=block.line):
        alone = " " not in LINK.sub("link", ITEM.sub("", line).strip())
        if len(line) > COLUMNS and block.kind not in ("code", "table") and not alone:
            yield Fault(number, f"{len(line)} columns, at most {COLUMNS}")


@lru_cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    page = blocks(path.read_text(encoding="utf-8"))
    slugs = [_slug(line) for block in page if block.kind == "heading" for line in block.lines]
    return frozenset(f"{s}-{n}" if (n := slugs[:i].count(s)) else s for i, s in enumerate(slugs))


def _slug(heading: str) -> str:
    text = LINK.sub(r"\1", heading.lstrip("#").strip()).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def dead_links(block: Block, path: Path) -> Iterator[Fault]:
    """Yield relative links to files or headings that are not there."""
    text = re.sub(r"`[^`]*`", "", "\n".join(block.lines)) if block.kind != "code" else ""
    for _, target in LINK.findall(text):
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if "://" not in target and not file.exists():
            yield Fault(block.line, f"no file {name}")
        elif "://" not in target and anchor and anchor not in anchors(file):
            yield Fault(block.line, f"no heading #{anchor} in {file.name}")


def faults(path: Path) -> list[Fault]:
    """Return all that is wrong with a page or a Python file, in the order of its lines."""
    if path.suffix == ".py":
        return python_prose.faults(path.read_text(encoding="utf-8"))
    if path.suffix == ".yaml":
        text = path.read_text(encoding="utf-8")
        words = [fault for block in blocks(_comments(text)) for fault in other_words(block)]
        return sorted([*words, *_long_comments(text)])
    rules = (long_lines, long_sentences, other_words, lambda block: dead_links(block, path))
    page = blocks(path.read_text(encoding="utf-8"))
    return sorted(fault for block in page for rule in rules for fault in rule(block))


def _comments(text: str) -> str:
    """Return the comments of a config, each in its line."""
    return "\n".join(line[2:] if line[:2] == "# " else "" for line in text.splitlines())


def _long_comments(text: str) -> Iterator[Fault]:
    """Yield the comments of a config beyond the last column, unless they are one word."""
    for number, line in enumerate(text.splitlines(), start=1):
        comment = line.strip()
        if comment.startswith("#") and len(line) > COLUMNS and " " in comment[1:].strip():
            yield Fault(number, f"{len(line)} columns, at most {COLUMNS}")


def configs() -> list[Path]:
    """Return the configs, suites, tables and sweeps of the repository."""
    folders = ("configs", "papers", "sweeps")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.yaml"))


def pages() -> list[Path]:
    """Return the pages of the repository."""
    folders = ("*.md", "docs/**/*.md", "papers/**/*.md")
    return sorted({path for folder in folders for path in ROOT.glob(folder)})


def code() -> list[Path]:
    """Return the Python files of the repository whose prose is checked."""
    later = [ROOT / name for name in _FAULTY]
    found = [path for name in _CODE for path in files(ROOT / name)]
    return [path for path in found if not any(path.is_relative_to(name) for name in later)]


def files(path: Path) -> list[Path]:
    """Return a file, or the Python files below a folder."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []


def main(names: list[str]) -> int:
    """Print what is wrong with the files, and return the exit code."""
    paths = [path for name in names for path in files(Path(name))] or [
        *pages(),
        *configs(),
        *code(),
    ]
    found = [(path, fault) for path in paths for fault in faults(path)]
    for path, fault in found:
        print(f"{path}:{fault.line}: {fault.text}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
