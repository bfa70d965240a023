"""Which packages' classes a file may name; what the user trusts beside them.

A config, a suite, a table, a sweep or a checkpoint says by class paths what is built. Who may
choose the class may run code, so a file gets classes of `PACKAGES` alone. The check is of the
module where a class is defined. A module outside of them is not imported to find that out.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from robust.errors import ConfigError

PACKAGES = ("robust", "torch.nn", "torch.optim", "torchattacks", "torchvision", "lightning")
"""Whose classes a file may name."""
ENVIRONMENT = "ROBUST_TRUST"
"""Variable of packages that the user trusts, separated by commas or colons."""
TRUST_HELP = (
    "--trust PACKAGE: files may name classes of this package, too; or a pyproject.toml with "
    f"`trust = [...]` under [tool.robust]. Repeatable. So does {ENVIRONMENT}. "
    "See docs/untrusted-files.md."
)
FLAGS_OF_FILE = "ROBUST_FLAGS_OF_FILE"
"""Variable that a sweep sets for its runs: a file wrote their flags, which are no user's word."""

_VERDICTS = {
    **dict.fromkeys(PACKAGES, True),
    # Within them: what acts instead of being described, such as commands, servers and downloads.
    # In robust: commands, and what reads files for them. tests/test_trust.py knows every module.
    **dict.fromkeys(
        (
            f"robust.{name}"
            for name in (
                *("cli", "compare", "dashboard", "drawing", "options", "papers", "pictures"),
                *("report", "subjects", "sweep", "checkpoints", "explain", "fractions", "kinds"),
                *("parsing", "restricted", "trust", "files", "names", "strict_yaml", "text_files"),
            )
        ),
        False,
    ),
    "lightning.data": False,
    "lightning.fabric.cli": False,
    "lightning.fabric.strategies.launchers": False,
    "lightning.fabric.utilities": False,
    "lightning.pytorch.cli": False,
    "lightning.pytorch.core": False,  # load_from_checkpoint, which unpickles
    "lightning.pytorch.serve": False,
    "lightning.pytorch.strategies.launchers": False,
    "lightning.pytorch.utilities": False,
    "torchvision.datasets": False,
    "torchvision.io": False,
    "torchvision.utils": False,
}
_FUNCTIONS = ("torch.nn.functional", "torch.nn.init", "torchvision.models")
"""Where a file may name functions, too."""
_LONGEST = 60


class UntrustedError(ConfigError):
    """A file names a class, a function or a command that the user has not said to trust."""


def verdicts() -> dict[str, bool]:
    """Whether what lies below a dotted path may be named; the most specific entry decides."""
    trusted = granted()
    own = {path: allowed for path, allowed in _VERDICTS.items() if not _below(path, trusted)}
    return own | dict.fromkeys(trusted, True)


def granted() -> tuple[str, ...]:
    """Packages and classes that the user trusts beside `PACKAGES`.

    Raises:
        ConfigError: If the environment names neither packages nor a file that says some.
    """
    return _entries_of(os.environ.get(ENVIRONMENT, ""))


@functools.lru_cache(maxsize=8)
def _entries_of(text: str) -> tuple[str, ...]:
    words = re.split(rf"[,{re.escape(os.pathsep)}]", text)
    return tuple(e for word in words if word.strip() for e in entries(word.strip()))


def entries(word: str) -> list[str]:
    """What a value of ``--trust`` means: a package or a class, or those of a ``pyproject.toml``.

    Raises:
        ConfigError: If it is neither.
    """
    if word.endswith(".toml"):
        return [entry for name in _in_pyproject(Path(word)) for entry in entries(name)]
    if not _is_dotted(word) or word.split(".")[0] == "jsonargparse":
        raise ConfigError(
            f"Expected a package such as mypackage, or a pyproject.toml, to trust, but got "
            f"{_short(word)!r}. Name what may be built."
        )
    return [word]


def _in_pyproject(path: Path) -> list[str]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Expected a pyproject.toml to trust at {path}, but cannot read it "
            f"({type(error).__name__})."
        ) from None
    tool = content.get("tool")
    table = tool.get("robust") if isinstance(tool, dict) else None
    names = table.get("trust") if isinstance(table, dict) else None
    if not isinstance(names, list) or not all(map(_is_dotted, names)):
        raise ConfigError(
            f"Expected `trust = [...]` with names of packages under [tool.robust] in {path}, but "
            "got none. Add it, or name the packages themselves."
        )
    return names


def taken(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What ``--trust`` gives among arguments, and the other arguments.

    Raises:
        ConfigError: If it comes without a value, with one that is no package, or from a file.
    """
    trusted: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != "--trust":
            others.append(word)
            continue
        trusted += entries(value if equals else next(words, ""))
    if trusted and os.environ.get(FLAGS_OF_FILE):
        raise UntrustedError(
            "Expected no --trust among the flags that a sweep file writes, but got "
            f"{_short(trusted[0])}. Give it to the command that runs the sweep."
        )
    return trusted, others


@contextlib.contextmanager
def trusting(names: Sequence[str]) -> Iterator[None]:
    """Trust packages and classes meanwhile, here and in the processes that are started.

    Args:
        names: As `granted` has them.
    """
    earlier = os.environ.get(ENVIRONMENT)
    known = [*granted(), *names]
    if known:
        os.environ[ENVIRONMENT] = ",".join(dict.fromkeys(known))
    try:
        yield
    finally:
        if earlier is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = earlier


def allows(path: str) -> bool:
    """Whether a file may name what lies at a dotted path; nothing is imported."""
    if _below(path, granted()):
        return True
    entry = next((p for p in _prefixes(path) if p in _VERDICTS), None)
    return entry is not None and _VERDICTS[entry]


def check_path(path: str, where: object = "") -> None:
    """Raise unless a file may name a dotted path, as far as its name says; nothing is imported.

    Args:
        path: A class path.
        where: The file that names it, for the message.

    Raises:
        UntrustedError: With the flag that would allow it.
    """
    private = any(part.startswith("_") for part in path.split("."))
    if not allows(path) or (private and not _below(path, granted())):
        raise refusal(path, where)


def imported(path: str, where: object = "") -> Any:  # noqa: ANN401
    """The class that a path names, imported if that may be.

    Args:
        path: A class path.
        where: The file that names it, for the message.

    Raises:
        UntrustedError: If its name or its definition lies outside of what is trusted, or if it is
            neither a class nor a function that files may name.
        ImportError: If there is no such module.
        AttributeError: If the module has no such class.
        ValueError: If it is no class path.
    """
    if not is_class_path(path):
        raise ValueError(f"no class path: {_short(str(path))!r}")
    check_path(path, where)
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    defined = definition(found)
    if _below(path, granted()) and (defined is None or allows(defined)):
        return found
    if defined is None or not allows(defined):
        raise refusal(path, where, defined)
    if not inspect.isclass(found):
        check_function(found, path, where)
    return found


def check_function(found: Any, path: str, where: object = "") -> None:  # noqa: ANN401
    """Raise unless a file may name a function: one of torch's or torchvision's that only compute.

    Args:
        found: The function.
        path: What names it, for the message.
        where: The file, for the message.

    Raises:
        UntrustedError: With the flag that would allow it.
    """
    name = getattr(found, "__name__", "")
    plain = (getattr(sys.modules.get(module), name, None) is found for module in _FUNCTIONS)
    if not any(plain) and not _below(path, granted()):
        place = f" in {_short(str(where))}" if where else ""
        raise UntrustedError(
            f"Expected a class{place}, but got {_short(path)!r}. Name a class, or add "
            f"--trust {_short(path)} if you trust it."
        )


def definition(found: object) -> str | None:
    """The module and the name of a class or function, however it was named; None of others."""
    if inspect.ismodule(found):
        return found.__name__
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        return None
    return f"{found.__module__}.{found.__qualname__}"


def names_of(path: str) -> list[str]:
    """Every name of what a user typed, such as that of its definition.

    It is imported, which the user asked for.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception:  # the parser says what is wrong with it
        return [path]
    defined = definition(found)
    if defined is None:
        return [path]
    home = f"{defined.rpartition('.')[0]}"
    again = [p for p in _prefixes(home) if getattr(sys.modules.get(p), name, None) is found]
    return [*dict.fromkeys([path, defined, *(f"{p}.{name}" for p in again)])]


def check_classes(content: object, where: object = "") -> None:
    """Raise unless every class path in a file may be named.

    Args:
        content: Plain values, as the file holds them.
        where: The file, for the message.

    Raises:
        UntrustedError: With the class, the file, and the flag that would allow it.
    """
    for spec in _specs(content):
        path = spec["class_path"]
        if is_class_path(path):
            # What cannot be imported is the parser's to explain.
            with contextlib.suppress(ImportError, AttributeError):
                imported(path, where)


def _specs(content: object) -> Iterator[Mapping[str, Any]]:
    """Every mapping with a ``class_path``, at any depth; what aliases share is seen once."""
    stack, seen = [content], set[int]()
    while stack:
        value = stack.pop()
        if not isinstance(value, (Mapping, list, tuple)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            if "class_path" in value:
                yield value
            stack += value.values()
        else:
            stack += value


def strings(content: object) -> Iterator[str]:
    """Every text among plain values, at any depth; what aliases share is seen once."""
    stack, seen = [content], set[int]()
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            stack += value.values() if isinstance(value, Mapping) else value


def foreign(content: object) -> list[str]:
    """Texts among plain values that look like class paths which a file may not name.

    Nothing is imported. A text that names a file there is no class path.
    """
    paths = [text for text in strings(content) if is_class_path(text) and not allows(text)]
    return [path for path in paths if not Path(path).is_file()]


def is_there(path: str) -> bool:
    """Whether there is the package of a class path; nothing is imported."""
    try:
        return importlib.util.find_spec(path.split(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def refusal(path: str, where: object = "", defined: str | None = None) -> UntrustedError:
    """The error about a class that a file may not name.

    Args:
        path: The class path.
        where: The file.
        defined: What it is, if that says more than its name.
    """
    told = "" if defined in (None, path) else f", which is {_short(str(defined))}"
    place = f" in {_short(str(where))}" if where else ""
    return UntrustedError(
        f"Expected classes of {', '.join(PACKAGES[:-1])} or {PACKAGES[-1]}{place}, but got "
        f"{_short(path)}{told}. If you trust it, add --trust {_package(path, defined)}."
    )


def _package(path: str, defined: str | None) -> str:
    """What to trust so that a file may name a class: the least that holds more than that class."""
    if defined is not None and _is_dotted(defined) and not allows(defined):
        path = defined
    if allows(path):
        return _short(path)  # a private name, or a function: that alone
    allowed = [entry for entry, verdict in _VERDICTS.items() if verdict]
    refused = next((p for p in _prefixes(path) if p in _VERDICTS), "")
    wide = (p for p in reversed(_prefixes(path)) if len(p) >= len(refused))
    return _short(next((p for p in wide if not any(_below(a, [p]) for a in allowed)), path))


def is_class_path(text: object) -> TypeGuard[str]:
    """Whether a value is a text of names joined by dots, two at least."""
    return _is_dotted(text) and "." in str(text)


def _below(path: str, entries: Sequence[str]) -> bool:
    return any(prefix in entries for prefix in _prefixes(path))


def _prefixes(path: str) -> list[str]:
    """A dotted path and those above it, the longest first."""
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


def _is_dotted(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and all(part.isidentifier() for part in text.split("."))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
