"""The YAML of every file and flag is read here, within bounds.

The dialect is jsonargparse's with five differences. ``8/255`` and ``-.5`` are numbers. Text is what
looks like a time (``1:30``), an octal number (``010``) or a number beyond float64 (``5e12345``).
Duplicate keys, tags, several documents and endless expansion are errors.
"""

import math
import re
from collections.abc import Callable, Hashable
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import yaml

from robust.errors import ConfigError
from robust.io.text_files import read_text

_DEEPEST = 50
"""Levels of nesting; a config has about ten."""
_EXPANDED = 100_000
"""Nodes and characters that aliases may add."""

_FRACTION = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)/([0-9]+(?:\.[0-9]+)?)")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b_*[01][01_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)"
)
_WORDS: dict[str, Any] = {
    **{form(word): True for word in ("true", "yes", "on") for form in (str, str.title, str.upper)},
    **{
        form(word): False for word in ("false", "no", "off") for form in (str, str.title, str.upper)
    },
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **{
        sign + word: math.copysign(math.inf, -1 if sign == "-" else 1)
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
"""Plain words that are not text, as in YAML 1.1."""
_MAYBE_NUMBER = frozenset("+-.0123456789")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MERGE = "<<"
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser in C if there is one, which is ten times as fast."""


class StrictYAMLError(yaml.YAMLError):
    """YAML is refused; the text is one line and begins with the number of the line."""


def plain_scalar(text: str) -> Any:  # noqa: ANN401
    """Return the value of a scalar without quotes: a number, a boolean, null, or the text itself.

    Raises:
        StrictYAMLError: If it is an integer of more digits than Python converts.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAYBE_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        try:
            # Base 0 knows 0x and 0b, of which any number of digits is read but not printed.
            number = int(text.replace("_", ""), 0)
            str(number)
            return number
        except ValueError:
            raise StrictYAMLError(f"a number of {len(text)} digits is too long") from None
    if _FLOAT.fullmatch(text):
        return _finite(float(text.replace("_", "")), text)
    if match := _FRACTION.fullmatch(text):
        numerator, denominator = float(match[1]), float(match[2])
        return _finite(numerator / denominator if denominator else math.nan, text)
    return text


def _finite(value: float, text: str) -> float | str:
    return value if math.isfinite(value) else text


def load(text: str) -> Any:  # noqa: ANN401
    """Return the content of a YAML document.

    Raises:
        StrictYAMLError: If it is not YAML, has a duplicate key, a tag or a second document, or is
            nested or expanded too far.
    """
    if found := _FORBIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise StrictYAMLError(f"line {line}: the character {found[0]!a} is not allowed")
    parser = _PARSER(text)
    try:
        return _Builder(parser.get_event).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise StrictYAMLError(where + " ".join(f"{error.problem}".split())) from None
    except yaml.YAMLError as error:
        if isinstance(error, StrictYAMLError):
            raise
        raise StrictYAMLError(" ".join(str(error).split())) from None
    finally:
        parser.dispose()


class StrictLoader:
    """`load` in the form that ``yaml.load`` needs.

    Args:
        stream: The text.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream

    def get_single_data(self) -> Any:  # noqa: ANN401
        """Return the content of the only document."""
        return load(self._stream)

    def dispose(self) -> None:
        """Do nothing, since there is nothing to release."""


class _Level:
    """A mapping or sequence that is not complete."""

    def __init__(self, anchor: str | None, line: int, size: int, *, mapping: bool) -> None:
        self.anchor, self.line, self.size = anchor, line, size
        self.content: Any = {} if mapping else []
        self.mapping = mapping
        self.seen: dict[Hashable, int] = {}
        self.key: Any = None
        self.has_key = False
        self.merged: list[Any] | None = None


class _Builder:
    """Builds values from events, level by level and without recursion."""

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        self._levels: list[_Level] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._size = 0
        self._aliased = 0
        self._result: Any = None
        self._documents = 0

    def document(self) -> Any:  # noqa: ANN401
        """Return the value of the only document; None if there is none."""
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)
        return self._result

    def _start_document(self, event: Any) -> None:  # noqa: ANN401
        self._documents += 1
        if self._documents > 1:
            _refuse(event, "a second document begins, but a file holds one")

    def _scalar(self, event: Any) -> None:  # noqa: ANN401
        _refuse_tag(event)
        text, plain = event.value, event.implicit[0]
        try:
            value = plain_scalar(text) if plain else text
        except StrictYAMLError as error:
            _refuse(event, str(error))
        self._size += 1 + len(text)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, 1 + len(text)
        self._add(value, event, text, merge=plain and text == _MERGE)

    def _start(self, event: Any) -> None:  # noqa: ANN401
        _refuse_tag(event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        if self._levels and self._levels[-1].mapping and not self._levels[-1].has_key:
            _refuse(event, "a list or mapping is a key, but keys are text")
        if len(self._levels) >= _DEEPEST:
            _refuse(event, f"it is nested more than {_DEEPEST} levels deep")
        if event.anchor is not None:
            self._open.add(event.anchor)
            self._anchors.pop(event.anchor, None)
        self._levels.append(
            _Level(event.anchor, event.start_mark.line, self._size, mapping=mapping)
        )
        self._size += 1

    def _end(self, event: Any) -> None:  # noqa: ANN401
        level = self._levels.pop()
        if level.merged is not None:
            level.content = _merged(event, level)
        if level.anchor is not None:
            self._open.discard(level.anchor)
            self._anchors[level.anchor] = level.content, self._size - level.size
        self._add(level.content, event)

    def _alias(self, event: Any) -> None:  # noqa: ANN401
        if event.anchor in self._open:
            _refuse(event, f"the alias *{event.anchor} is inside of what it names")
        if event.anchor not in self._anchors:
            _refuse(event, f"there is no &{event.anchor} before the alias *{event.anchor}")
        value, size = self._anchors[event.anchor]
        self._size += size
        self._aliased += size
        if self._aliased > _EXPANDED:
            _refuse(event, "its aliases expand to more than 100,000 letters")
        # A reader may change one of both values.
        self._add(deepcopy(value), event, value if isinstance(value, str) else "")

    def _add(self, value: Any, event: Any, text: str = "", *, merge: bool = False) -> None:  # noqa: ANN401
        if not self._levels:
            self._result = value
            return
        level = self._levels[-1]
        if not level.mapping:
            level.content.append(value)
        elif not level.has_key:
            self._set_key(level, value, event, text, merge=merge)
        elif level.key is _MERGE:
            level.has_key, level.merged = False, value if isinstance(value, list) else [value]
        else:
            level.has_key = False
            level.content[level.key] = value

    def _set_key(self, level: _Level, value: Any, event: Any, text: str, *, merge: bool) -> None:  # noqa: ANN401
        if isinstance(value, dict | list):
            _refuse(event, "a list or mapping is a key, but keys are text")
        line = event.start_mark.line + 1
        # Python takes 1, 1.0 and true for one key; a reader of names takes 1 and "1" for one.
        for form in (value, ("text", text)):
            if first := level.seen.get(form):
                _refuse(event, f"the key {text[:40]!r} is there twice, first in line {first}")
            level.seen[form] = line
        level.key, level.has_key = _MERGE if merge else value, True


_HANDLERS: dict[type, Callable[[_Builder, Any], None]] = {
    yaml.DocumentStartEvent: _Builder._start_document,
    yaml.ScalarEvent: _Builder._scalar,
    yaml.SequenceStartEvent: _Builder._start,
    yaml.MappingStartEvent: _Builder._start,
    yaml.SequenceEndEvent: _Builder._end,
    yaml.MappingEndEvent: _Builder._end,
    yaml.AliasEvent: _Builder._alias,
}


def _merged(event: Any, level: _Level) -> dict[Any, Any]:  # noqa: ANN401
    """Return its own keys over those of ``<<``, where an earlier mapping wins."""
    merged: dict[Any, Any] = {}
    for other in reversed(level.merged or []):
        if not isinstance(other, dict):
            _refuse(event, "`<<` takes a mapping or a list of mappings")
        merged |= other
    return {**merged, **level.content}


def _refuse_tag(event: Any) -> None:  # noqa: ANN401
    if event.tag is not None:
        _refuse(event, f"the tag {event.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed")


def _refuse(event: Any, why: str) -> NoReturn:  # noqa: ANN401
    raise StrictYAMLError(f"line {event.start_mark.line + 1}: {why}")


def read(path: str | Path, name: str | None = None) -> Any:  # noqa: ANN401
    """Return the content of a YAML file.

    Args:
        path: The file.
        name: What messages call it; the path if None.

    Raises:
        ConfigError: If it cannot be read, with the line.
    """
    try:
        return load(read_text(path, name))
    except StrictYAMLError as error:
        raise ConfigError(
            f"Expected a YAML file at {name or path}, but cannot read it ({error})."
        ) from None
