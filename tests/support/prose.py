"""The checker of Markdown pages: short lines, short sentences, plain words, links that resolve.

``python -m tests.support.prose [FILES]`` prints what is wrong and where, and exits with 1 if
anything is. Without FILES it reads every page of the repository.
"""

import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.support.plain_words import HEADERS, PLAIN

ROOT = Path(__file__).resolve().parents[2]
COLUMNS, WORDS = 100, 25

_PLAIN = [(re.compile(word, re.IGNORECASE), right) for word, right in PLAIN.items()]
_ABBREVIATION = re.compile(r"\b(et al|e\.g|i\.e|vs|cf|Eq|Fig)\.(?=\s)")
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
_ITEM = re.compile(r"^\s*([-*]|\d+\.)\s")
_KINDS = {"": "blank", "|": "table", "#": "heading"}


class Block(NamedTuple):
    """A paragraph, list item, heading, table or piece of code."""

    kind: str
    line: int
    lines: list[str]


class Fault(NamedTuple):
    """What is wrong at a line."""

    line: int
    text: str


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
        block += kind != last or (kind == "text" and bool(_ITEM.match(line)))
        fence, last = fence != marks, kind
        yield block, kind, number, line


def plain(text: str) -> str:
    """Return ``text`` without marks: a code span is one word, a link is its words."""
    text = _LINK.sub(r"\1", re.sub(r"`[^`]*`", "CODE", text))
    return re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", text)


def sentences(block: Block) -> list[str]:
    """Return the sentences of a paragraph or list item."""
    text = plain(" ".join(_ITEM.sub("", line).strip() for line in block.lines))
    return re.split(r"(?<=[.!?:])[\"')]*\s+", _ABBREVIATION.sub(r"\1", text))


def long_lines(block: Block) -> Iterator[Fault]:
    """Yield lines beyond the last column, unless one word or link is all that they hold."""
    for number, line in enumerate(block.lines, start=block.line):
        alone = " " not in _LINK.sub("link", _ITEM.sub("", line).strip())
        if len(line) > COLUMNS and block.kind not in ("code", "table") and not alone:
            yield Fault(number, f"{len(line)} columns, at most {COLUMNS}")


def long_sentences(block: Block) -> Iterator[Fault]:
    """Yield sentences of too many words; cells of tables and headings are none."""
    for sentence in sentences(block) if block.kind == "text" else []:
        count = sum(any(map(str.isalnum, word)) for word in sentence.split())
        if count > WORDS:
            yield Fault(block.line, f"{count} words, at most {WORDS}: {sentence[:60]} ...")


def other_words(block: Block) -> Iterator[Fault]:
    """Yield words and names of columns for which there is a better one."""
    cells = block.lines[0].split("|") if block.kind == "table" else []
    for cell in {cell.strip().lower() for cell in cells} & HEADERS.keys():
        yield Fault(block.line, f"column '{cell}': write {HEADERS[cell]}")
    text = plain("\n".join(block.lines)) if block.kind != "code" else ""
    for word, right in _PLAIN:
        for found in word.finditer(text):
            line = block.line + text.count("\n", 0, found.start())
            yield Fault(line, f"'{found[0]}': write {right}")


@lru_cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    page = blocks(path.read_text(encoding="utf-8"))
    slugs = [_slug(line) for block in page if block.kind == "heading" for line in block.lines]
    return frozenset(f"{s}-{n}" if (n := slugs[:i].count(s)) else s for i, s in enumerate(slugs))


def _slug(heading: str) -> str:
    text = _LINK.sub(r"\1", heading.lstrip("#").strip()).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def dead_links(block: Block, path: Path) -> Iterator[Fault]:
    """Yield relative links to files or headings that are not there."""
    text = re.sub(r"`[^`]*`", "", "\n".join(block.lines)) if block.kind != "code" else ""
    for _, target in _LINK.findall(text):
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if "://" not in target and not file.exists():
            yield Fault(block.line, f"no file {name}")
        elif "://" not in target and anchor and anchor not in anchors(file):
            yield Fault(block.line, f"no heading #{anchor} in {file.name}")


def faults(path: Path) -> list[Fault]:
    """Return all that is wrong with a page, in the order of its lines."""
    rules = (long_lines, long_sentences, other_words, lambda block: dead_links(block, path))
    page = blocks(path.read_text(encoding="utf-8"))
    return sorted(fault for block in page for rule in rules for fault in rule(block))


def pages() -> list[Path]:
    """Return the pages of the repository."""
    folders = ("*.md", "docs/**/*.md", "papers/**/*.md")
    return sorted({path for folder in folders for path in ROOT.glob(folder)})


def main(names: list[str]) -> int:
    """Print what is wrong with the pages, and return the exit code."""
    found = [(path, fault) for path in map(Path, names or pages()) for fault in faults(path)]
    for path, fault in found:
        print(f"{path}:{fault.line}: {fault.text}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
