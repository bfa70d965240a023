"""Which classes a file may name, by the module where each is defined.

A config, a suite, a table, a sweep or a checkpoint says by class paths what is built. Who may
choose the class may run code, so a file gets classes of `PACKAGES` alone. A module outside of them
is not imported to find out what it holds.
"""

import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robust.loading.moved import current
from robust.loading.trust import (
    UntrustedError,
    granted,
    is_below,
    is_class_path,
    is_dotted,
    prefixes,
    shown,
)

PACKAGES = ("robust", "torch.nn", "torch.optim", "torchattacks", "torchvision", "lightning")
"""Whose classes a file may name."""
_VERDICTS = {
    **dict.fromkeys(PACKAGES, True),
    # Within them: what acts instead of being described, such as commands, servers and downloads.
    # In robust: commands, and what reads or shows files. tests/loading/test_trust.py knows all.
    **dict.fromkeys(
        (
            f"robust.{name}"
            for name in (
                *("commands", "report", "sweep", "loading", "results", "figures", "io", "papers"),
                *("__main__", "api", "checkpoints", "checkpoint_bounds"),
            )
        ),
        False,
    ),
    "lightning.data": False,
    "lightning.fabric.cli": False,
    "lightning.fabric.strategies.launchers": False,
    "lightning.fabric.utilities": False,
    "lightning.pytorch.cli": False,
    "lightning.pytorch.demos": False,  # downloads
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


def verdicts() -> dict[str, bool]:
    """Whether what lies below a dotted path may be named; the most specific entry decides."""
    trusted = granted()
    own = {path: allowed for path, allowed in _VERDICTS.items() if not is_below(path, trusted)}
    return own | dict.fromkeys(trusted, True)


def allows(path: str) -> bool:
    """Whether a file may name what lies at a dotted path; nothing is imported."""
    if is_below(path, granted()):
        return True
    entry = next((p for p in prefixes(path) if p in _VERDICTS), None)
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
    if not allows(path) or (private and not is_below(path, granted())):
        raise refusal(path, where)


def imported(path: str, where: object = "") -> Any:  # noqa: ANN401
    """The class that a path names, imported if that may be.

    Args:
        path: A class path.
        where: The file that names it, for the message.

    Raises:
        UntrustedError: If its name or its definition lies outside of what is trusted. Also if it
            is neither a class nor a function that files may name.
        ImportError: If there is no such module.
        AttributeError: If the module has no such class.
        ValueError: If it is no class path.
    """
    if not is_class_path(path):
        raise ValueError(f"no class path: {shown(str(path))!r}")
    path = current(path)
    check_path(path, where)
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    defined = definition(found)
    if is_below(path, granted()) and (defined is None or allows(defined)):
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
    if not any(plain) and not is_below(path, granted()):
        place = f" in {shown(str(where))}" if where else ""
        raise UntrustedError(
            f"Expected a class{place}, but got {shown(path)!r}. Name a class, or add "
            f"--trust {shown(path)} if you trust it."
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
    again = [p for p in prefixes(home) if getattr(sys.modules.get(p), name, None) is found]
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
    told = "" if defined in (None, path) else f", which is {shown(str(defined))}"
    place = f" in {shown(str(where))}" if where else ""
    return UntrustedError(
        f"Expected classes of {', '.join(PACKAGES[:-1])} or {PACKAGES[-1]}{place}, but got "
        f"{shown(path)}{told}. If you trust it, add --trust {_package(path, defined)}."
    )


def _package(path: str, defined: str | None) -> str:
    """What to trust so that a file may name a class: the least that holds more than that class."""
    if defined is not None and is_dotted(defined) and not allows(defined):
        path = defined
    if allows(path):
        return shown(path)  # a private name, or a function: that alone
    allowed = [entry for entry, verdict in _VERDICTS.items() if verdict]
    refused = next((p for p in prefixes(path) if p in _VERDICTS), "")
    wide = (p for p in reversed(prefixes(path)) if len(p) >= len(refused))
    return shown(next((p for p in wide if not any(is_below(a, [p]) for a in allowed)), path))
