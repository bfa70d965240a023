"""The checker of the prose in Python files: docstrings, comments, texts and names.

It uses the rules of `tests.support.prose_rules`. Sentences are measured in docstrings and comments.
Words are checked everywhere, also within the names that a file defines.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from tests.support.plain_words import NAMES
from tests.support.prose_rules import Block, Fault, long_sentences, other_words

_MARKS = re.compile(r"^#(!| ?(type:|noqa|pragma|fmt:|ruff:))")
_SECTION = re.compile(r"^\s*(Args|Attributes|Example|Examples|Note|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^\s*[*\w.`]+(, [*\w.`]+)*: (?=\S)")
_CODE = re.compile(r"``[^`]*``|`[^`]*`")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PROSE = re.compile(r"[A-Za-z]{2,}[,.:;]? [A-Za-z]{2,}")
_DEFINITIONS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_DOCUMENTED = ast.Module | _DEFINITIONS


def faults(source: str) -> list[Fault]:
    """Return all that is wrong with the prose of a Python file, in the order of its lines."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = [node for parent in nodes for node in _docstrings(parent)]
    written = [block for node in docstrings for block in _paragraphs(node)] + _comments(source)
    texts = _texts(nodes, {id(node) for node in docstrings})
    found = [fault for block in written for fault in long_sentences(block)]
    found += [fault for block in [*written, *texts] for fault in other_words(block)]
    found += [fault for node in docstrings for fault in _first_sentence(node)]
    found += [fault for node in nodes for fault in _words_of_names(node)]
    return sorted(set(found))


def _docstrings(parent: ast.AST) -> Iterator[ast.Constant]:
    """Yield the docstring of a module, class or function, and texts that follow its constants."""
    for statement in getattr(parent, "body", []) if isinstance(parent, _DOCUMENTED) else []:
        value = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value


def _first_sentence(node: ast.Constant) -> Iterator[Fault]:
    """Yield a docstring whose first paragraph does not end as a sentence does."""
    first = str(node.value).strip().split("\n\n")[0].rstrip("\"'` )")
    if not first.endswith((".", "?", "!", ":")):
        yield Fault(node.lineno, f"no sentence at the start: {first[:60]}")


def _paragraphs(node: ast.Constant) -> Iterator[Block]:
    """Yield the paragraphs and entries of a docstring; code, formulas and tables are none."""
    block: list[str] = []
    line, code = node.lineno, False
    for number, row in enumerate([*str(node.value).splitlines(), ""], start=node.lineno):
        code = _is_code(row) or (code and bool(row.strip()))
        heading, entry = bool(_SECTION.match(row)), bool(_ENTRY.match(row))
        if block and (code or heading or entry or not row.strip()):
            yield Block("text", line, block)
            block = []
        if not block:
            line = number
        if row.strip() and not code and not heading:
            block.append(_without_code(_ENTRY.sub("", row)))


def _is_code(row: str) -> bool:
    return row.lstrip().startswith((">>>", "...", "|", "$", "```"))


def _without_code(row: str) -> str:
    return _CODE.sub("`code`", row)


def _comments(source: str) -> list[Block]:
    """Return the comments; those that stand below each other are one paragraph."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = [token for token in tokens if token.type == tokenize.COMMENT]
    rows = [token for token in found if not _MARKS.match(token.string)]
    # Successive lines have the same difference of line and position in the list.
    numbered = [(row.start[1], row.start[0] - i, row) for i, row in enumerate(rows)]
    groups = [[row for *_, row in rows] for _, rows in groupby(numbered, key=lambda e: e[:2])]
    return [
        Block("text", group[0].start[0], [_without_code(row.string.lstrip("# ")) for row in group])
        for group in groups
    ]


def _texts(nodes: list[ast.AST], docstrings: set[int]) -> Iterator[Block]:
    """Yield texts that are prose, such as messages; a value within one counts as code."""
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in ast.walk(node)}
    skipped = parts | docstrings
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            text = "".join(_text(part) for part in node.values)
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            text = _text(node)
        else:
            text = ""
        if _PROSE.search(text):
            yield Block("text", node.lineno, [_without_code(text)])


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "CODE"


def _words_of_names(node: ast.AST) -> list[Fault]:
    """Return the words of a name that a file gives for which there is a better one."""
    name = _given(node)
    return [Fault(node.lineno, f"name {name}: {text}") for text in _words(name)] if name else []


@cache
def _words(name: str) -> list[str]:
    words = " ".join(_WORD.findall(name)).lower() if name not in NAMES else ""
    return [fault.text for fault in other_words(Block("text", 0, [words]))]


def _given(node: ast.AST) -> str:
    """Return the name that a class, function, argument or variable is given at a node."""
    if isinstance(node, _DEFINITIONS):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.id if isinstance(node, ast.Name) else node.attr
    return ""
