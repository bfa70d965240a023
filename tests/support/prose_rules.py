"""The rules of prose that pages and Python files share: short sentences and plain words."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.plain_words import HEADERS, PLAIN

WORDS = 25
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
ITEM = re.compile(r"^\s*([-*]|\d+\.)\s")

_PLAIN = [(re.compile(word, re.IGNORECASE), right) for word, right in PLAIN.items()]
_ANY = re.compile("|".join(f"(?:{word})" for word in PLAIN), re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(et al|e\.g|i\.e|vs|cf|Eq|Fig)\.(?=\s)")


class Block(NamedTuple):
    """A paragraph, list item, heading, table or piece of code."""

    kind: str
    line: int
    lines: list[str]


class Fault(NamedTuple):
    """What is wrong at a line."""

    line: int
    text: str


def plain(text: str) -> str:
    """Return ``text`` without marks: a code span is one word, a link is its words."""
    text = LINK.sub(r"\1", re.sub(r"`[^`]*`", "CODE", text))
    return re.sub(r"(?<!\w)[*_]+|[*_]+(?!\w)", "", text)


def sentences(block: Block) -> list[str]:
    """Return the sentences of a paragraph or list item."""
    text = plain(" ".join(ITEM.sub("", line).strip() for line in block.lines))
    return re.split(r"(?<=[.!?:])[\"')]*\s+", _ABBREVIATION.sub(r"\1", text))


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
    for found in _ANY.finditer(text):
        line = block.line + text.count("\n", 0, found.start())
        right = next(right for word, right in _PLAIN if word.match(text, found.start()))
        yield Fault(line, f"'{found[0]}': write {right}")
