"""One line for an error of jsonargparse, whose own text lists every type that was tried."""

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from robust.errors import ConfigError
from robust.errors import nearest as nearest
from robust.errors import nearest_name as nearest_name
from robust.io.names import printable
from robust.loading.class_paths import imported, refusal


class _Message(NamedTuple):
    text: str
    key: str
    """Innermost key that the message is about; empty if about none."""
    inner: str
    """What it says of that key."""
    names: Sequence[str]

    @property
    def value(self) -> str:
        """What was given for the key."""
        found = re.search(r"G(?:ot|iven) value: (.+?)(?:\. Got value:|$)", self.inner, re.M)
        return repr(found[1].strip()) if found else "another value"


def explain(text: str, names: Sequence[str] = (), where: str = "") -> str:
    """What is wrong and, where a name is unknown, the nearest right one.

    Args:
        text: The error's message.
        names: Keys and flags to choose the nearest from.
        where: The file that is read, if a class in it was refused.
    """
    refused = refused_path(text)
    if refused:
        missing = re.fullmatch(_YAML, refused)
        return _no_file(refused) if missing else str(refusal(refused, where))
    message = _Message(text, *_innermost(text), names)
    for pattern, say in _EXPLANATIONS:
        match = re.search(pattern, message.inner or text)
        if match:
            return say(match, message)
    return one_line(text)


def refused_path(text: str) -> str:
    """What jsonargparse would not import, in its own message; empty if that is of another kind."""
    found = re.search(r"Importing '([\w.]+)' is not allowed, denied by", text)
    return found[1] if found else ""


def one_line(text: str) -> str:
    """The text without its line breaks and indentation."""
    return " ".join(text.split())


def shortened(text: str) -> str:
    """The text in one line of at most 280 characters, without some of its middle."""
    line = printable(one_line(text))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 85]} ... {line[-80:]}"


_LONGEST = 280
"""Characters of a message; with what stands before it, at most 300."""


def fixable_cause(error: BaseException | None) -> str | None:
    """What a `ConfigError` says from which an error was raised; None if it was from none.

    jsonargparse raises its own error from the one of the class that it was building.
    """
    while error is not None and not isinstance(error, ConfigError):
        error = error.__cause__
    return None if error is None else str(error)


def _innermost(text: str) -> tuple[str, str]:
    """The last key that a nested message names, and the lines indented below it."""
    lines = [line for line in text.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if re.search(r'Parser key "([^"]+)":', line)]
    if not starts:
        return "", ""
    first = lines[starts[-1]]
    _, key, rest = re.split(r'Parser key "([^"]+)":', first)[-3:]
    inner = [rest]
    for line in lines[starts[-1] + 1 :]:
        if _indentation(line) <= _indentation(first):
            break
        inner.append(line)
    return key, "\n".join(inner)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _unknown_option(match: re.Match[str], message: _Message) -> str:
    option, owner = match[1].split("=")[0], _owner(message.text)
    if option == "class_path":
        return f"Expected {owner} to have `class_path` and `init_args` only, but got another key."
    if not owner:
        return f"Unknown option {option!r}.{nearest(option, message.names)}"
    parameters = inspect.signature(imported(owner)).parameters
    hint = nearest(option, parameters) or f" It accepts: {', '.join(parameters)}."
    return f"Unknown option {option!r} of {owner}.{hint}"


def _owner(text: str) -> str:
    """The class that a message is about."""
    owners = re.findall(r"given class_path '([\w.]+)'|class_path='([\w.]+)'", text)
    given = [problem for problem, _ in owners if problem]
    return given[-1] if given else next((value for _, value in owners), "")


def _unknown_class(match: re.Match[str], message: _Message) -> str:
    module, name = match[1], match[2]
    found = getattr(sys.modules.get(module), name, None)
    if isinstance(found, type):  # a name of the package's face; a file names where it is at home
        home = ".".join(found.__module__.split(".")[:2])
        return (
            f"Expected {name} where files name it. Name {home}.{name} instead of {module}.{name}."
        )
    near = nearest(name, dir(sys.modules.get(module)))
    return f"There is no {name!r} in {module}.{near}"


def _unknown_module(match: re.Match[str], message: _Message) -> str:
    return f"There is no module {match[1]!r}. Is it misspelt, or not on PYTHONPATH?"


def _not_a_path(match: re.Match[str], message: _Message) -> str:
    name = match[1].strip()
    hint = nearest(name, [*_defenses(), *dir(sys.modules.get("torchattacks"))])
    return f"Expected a class such as robust.defenses.Squeezed, but got {name!r}.{hint}"


def _defenses() -> list[str]:
    """Names of the defenses that there are, if their base class is: it takes seconds to import."""
    base = getattr(sys.modules.get("robust.defenses"), "Defense", None)
    return [] if base is None else [kind.__name__ for kind in base.__subclasses__()]


def _not_a_subclass(match: re.Match[str], message: _Message) -> str:
    given = re.search(r"(?:Import path|Expected) '?([\w.]+\.\w+)'?", match[0])
    value = repr(given[1]) if given else message.value
    return f"Expected `{message.key}` to be a subclass of {match[1]}, but got {value}."


def _abstract(match: re.Match[str], message: _Message) -> str:
    found = re.search(r"([\w.]+)\.(\w+)", message.value)
    module, name = found.groups() if found else ("", "")
    kind = getattr(sys.modules.get(module), name, None)
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    lacks = f", which lacks {' and '.join(missing)}. Define it in the class." if missing else "."
    given = f"{module}.{name}" if found else "another class"
    return f"Expected `{message.key}` to be a class that can be built, but got {given}{lacks}"


def _wrong_value(match: re.Match[str], message: _Message) -> str:
    kinds = re.findall(_KIND, message.inner)
    words = [f"one of {values}" if values else _WORDS.get(kind, kind) for kind, values in kinds]
    literals = re.findall(r"'([^']+)'", " ".join(words))
    hint = nearest(message.value.strip("'"), literals)
    expected = " or ".join(dict.fromkeys(words))
    return f"Expected `{message.key}` to be {expected}, but got {message.value}.{hint}"


def _missing(match: re.Match[str], message: _Message) -> str:
    owner = _owner(message.text)
    where = f" of {owner}" if owner else ""
    return f"Expected a value for {match[1]}{where}, but got none. See the files of configs/."


def _invalid_choice(match: re.Match[str], message: _Message) -> str:
    choices = re.findall(r"'([^']+)'", match[2])
    expected = ", ".join(choices)
    return f"Expected one of {expected}, but got {match[1]!r}.{nearest(match[1], choices)}"


def _unknown_key(match: re.Match[str], message: _Message) -> str:
    key = match[1].split("=")[0]
    groups = {name.split(".")[0] for name in message.names}
    group = key.split(".")[0]
    hint = nearest(key, message.names) or (nearest(group, groups) if group not in groups else "")
    return f"Unknown key or flag {key!r}.{hint}"


def _unreadable(match: re.Match[str], message: _Message) -> str:
    return _no_file(match[1])


def _no_file(path: str) -> str:
    path = path.removeprefix(f"{os.getcwd()}{os.sep}")  # as somebody typed it
    if os.path.isfile(path) and not os.path.getsize(path):
        return f"Expected YAML in {path}, but the file is empty."
    return f"Expected a YAML file at {path}, but there is none that can be read."


def _no_mapping(match: re.Match[str], message: _Message) -> str:
    given = one_line(match[1])[:40] or "nothing"
    return f"Expected a config of keys such as model and data, but got {given!r}. See configs/."


def _no_text(match: re.Match[str], message: _Message) -> str:
    return f"Expected keys of a config that are text, but got {match[1]}. Put it in quotes."


def _not_yaml(match: re.Match[str], message: _Message) -> str:
    return f"Expected a YAML file, but it cannot be parsed: {one_line(match[1])}."


_WORDS = {
    **{"NoneType": "null", "str": "a string", "int": "an integer", "float": "a number"},
    "Sequence": "a list of them",
}
_KIND = r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[([^\]]+)\])"
_YAML = r"[^\s'\"]+\.ya?ml"
_Explanation = Callable[[re.Match[str], _Message], str]
# In this order: the first that matches is the most specific.
_EXPLANATIONS: list[tuple[str, _Explanation]] = [
    (r"Expected a value for `[^`]+`, but got null[^.]*\.[^.]*\.", lambda match, _: match[0]),
    (r"Option '([^']+)' is not accepted", _unknown_option),
    (r"module '([\w.]+)' has no attribute '(\w+)'", _unknown_class),
    (rf"Expected a path but ({_YAML}) either", _unreadable),
    (rf"Unexpected import path format: ({_YAML})", _unreadable),
    (r"Unable to load config ['\"]([^'\"]+)['\"]", _unreadable),
    (r"File does not exist: '([^']+)'", _unreadable),
    (r"(?s)\AUnexpected config:(.*)", _no_mapping),
    (r"Key must be a string, got: (.{1,40})\.", _no_text),
    (r"Problems parsing config:\s+(.*)", _not_yaml),
    (r"(?s:Import path.*?does not correspond to a subclass of )(\w+)", _not_a_subclass),
    (r"Expected '[\w.]+' to be a subclass of <class '(\w+)'>", _not_a_subclass),
    (r"No module named '([\w.]+)'", _unknown_module),
    (r"following arguments are required: ([^\s,]+)", _missing),
    (r"invalid choice: '([^']+)' \(choose from (.*)\)", _invalid_choice),
    (r"unrecognized arguments: (\S+)", _unknown_key),
    (r"does not accept option '([^']+)'", _unknown_key),
    (r"Unexpected import path format: (\S+)", _not_a_path),
    # A number or an object, such as a learning rate, is rarely meant to be an object.
    (r"(?s)\A(?!.*<class '(?:int|float)'>).*Expected a dot import path string: (\S+)", _not_a_path),
    (r"Expected an instantiatable class, but is abstract", _abstract),
    (_KIND, _wrong_value),
]
