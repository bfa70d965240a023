"""A class that nobody can build is said to be abstract, with classes that derive from it."""

import contextlib
import inspect
import sys
from collections.abc import Iterator

from robust.errors import ConfigError
from robust.loading.class_paths import definition, imported, strings
from robust.loading.trust import is_class_path

_BASES = frozenset(
    {
        "torch.nn.modules.module.Module",
        "torch.optim.optimizer.Optimizer",
        "torch.optim.lr_scheduler.LRScheduler",
        "torchattacks.attack.Attack",
        "robust.attacks.base.Attack",
    }
)
"""Python can build these, or says something else of them, but nothing can be done with one."""
_HOMES = (
    *("robust.networks", "robust.attacks", "robust.transforms", "robust.data"),
    *("torch.optim", "torch.optim.lr_scheduler", "lightning.pytorch.loggers", "robust.defenses"),
)
"""Where the classes are that somebody may have meant."""
_PACKAGES = ("robust.", "torch.", "torchattacks.", "lightning.")
_SHOWN = 3


def is_abstract(kind: object) -> bool:
    """Return whether a class is only there to be derived from."""
    return inspect.isclass(kind) and (inspect.isabstract(kind) or definition(kind) in _BASES)


def check_concrete(kind: object, path: str, where: object = "") -> None:
    """Raise if a class is abstract.

    Args:
        kind: What a path names.
        path: The path.
        where: What names it, such as a flag or a file, for the message.

    Raises:
        ConfigError: With what its subclass has to define, or with subclasses of ours.
    """
    if is_abstract(kind):
        place = f" in {where}" if where else ""
        raise ConfigError(
            f"Expected a class that can be built{place}, but {path} is abstract. {_advice(kind)}"
        )


def check_flag(flag: str, value: object) -> None:
    """Raise if a flag names an abstract class of a package that every file may name.

    Args:
        flag: The flag.
        value: Its value, as YAML reads it.

    Raises:
        ConfigError: As `check_concrete`.
    """
    for path in strings(value):
        if path.startswith(_PACKAGES) and is_class_path(path):
            # What cannot be imported is the parser's to explain.
            with contextlib.suppress(ImportError, AttributeError):
                check_concrete(imported(path), path, flag)


def _advice(kind: object) -> str:
    assert inspect.isclass(kind)
    found = [*dict.fromkeys(_subclasses(kind))]
    if found:
        last = f" or {found[_SHOWN - 1]}" if len(found) >= _SHOWN else ""
        first = found[: _SHOWN - 1] if last else found
        return f"Name one that derives from it, such as {', '.join(first)}{last}."
    missing = " and ".join(sorted(getattr(kind, "__abstractmethods__", ())))
    return f"Define {missing} in it." if missing else "Name one that derives from it."


def _subclasses(kind: type) -> Iterator[str]:
    for home in _HOMES:
        for name, found in vars(sys.modules.get(home)).items() if home in sys.modules else ():
            public = inspect.isclass(found) and not name.startswith("_")
            if public and issubclass(found, kind) and not is_abstract(found):
                yield f"{home}.{name}"
