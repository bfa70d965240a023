"""What Python source means, as text that is equal for sources that do the same by the same steps.

Docstrings, comments, positions and ``__all__`` say nothing to the interpreter. Of an import from
this package only the names count: what they stand for is hashed where it is defined, so a module
may be renamed. The text is the same on every Python that can parse the source.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = "robust"

_UNSAID = ("ctx", "kind", "type_comment", "type_ignores", "type_params")
"""Fields that follow from others, or that some Pythons lack and this package does not use."""


@cache
def meaning_sha256(file: Path) -> str:
    """Return a hash of what a source file means; an empty string if it does nothing of its own.

    Args:
        file: Python source, in UTF-8.

    Raises:
        OSError: If it cannot be read.
        SyntaxError: If it is no Python.
    """
    text = meaning(file.read_bytes())
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def meaning(source: str | bytes) -> str:
    """Return what a source means; an empty string where it only imports from this package.

    Args:
        source: Of a module.

    Raises:
        SyntaxError: If it is no Python.
    """
    body = [node for node in _statements(ast.parse(source)) if not _only_hands_on(node)]
    return "\n".join(map(_text, body))


def _only_hands_on(node: ast.stmt) -> bool:
    """Whether a statement does nothing but name what this package defines elsewhere."""
    if isinstance(node, ast.Assign):
        return any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets)
    return isinstance(node, ast.ImportFrom) and _is_own(node) and not _renamed(node)


def _text(value: object) -> str:
    """A node, a list of nodes or a constant."""
    if isinstance(value, ast.ImportFrom) and _is_own(value):
        return f"names({', '.join(_renamed(value))})"
    if isinstance(value, ast.AST):
        return f"{type(value).__name__}({', '.join(_fields(value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _fields(node: ast.AST) -> Iterator[str]:
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = _statements(node)
        if isinstance(node, ast.JoinedStr):
            value = [part for part in node.values if not _is_empty(part)]
        if name not in _UNSAID and value not in (None, []):
            yield f"{name}={_text(value)}"


def _is_empty(part: ast.expr) -> bool:
    """Whether it is the empty text that Python 3.12 alone puts behind the braces of a format."""
    return isinstance(part, ast.Constant) and part.value == ""


def _statements(node: ast.AST) -> list[ast.stmt]:
    """The body of a node without strings that stand alone: docstrings, of attributes as well."""
    return [
        statement
        for statement in getattr(node, "body", [])
        if not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]


def _is_own(node: ast.ImportFrom) -> bool:
    return node.level > 0 or str(node.module).partition(".")[0] == _PACKAGE


def _renamed(node: ast.ImportFrom) -> list[str]:
    """Names that an import gives to something else than what is called so where it is defined."""
    return sorted(f"{a.name} as {a.asname}" for a in node.names if a.asname not in (None, a.name))
