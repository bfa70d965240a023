"""Errors that the user can fix are of one class."""

import difflib
import errno
import math
import os
import traceback
from collections.abc import Iterable


class ConfigError(ValueError):
    """This error is about something in a config, a flag or a file that the user can fix.

    The message says what was expected, what was got and what to do. The commands print it as one
    line and exit with code 2; every other exception is a defect of ours and keeps its traceback.

    Examples:
        >>> try:
        ...     robust.Squeezed(robust.MLP(), temperature=-1.0)
        ... except robust.ConfigError as error:
        ...     print(error)
        Expected `temperature` to be positive, but got -1.0.
    """


class Stopped(SystemExit):
    """A signal ends the command; code that guards against what others raise lets this pass."""


def check_at_least(name: str, value: float, least: int) -> None:
    """Raise unless a number is at least so large.

    Args:
        name: What the user calls the number.
        value: The number.
        least: The smallest one that is allowed.

    Raises:
        ConfigError: If it is smaller, or not a number.
    """
    if not value >= least:
        raise ConfigError(f"Expected `{name}` to be at least {least}, but got {value}.")


def check_eps(norm: str, eps: float) -> None:
    """Raise unless a number can be the radius of a threat model.

    Raises:
        ConfigError: If it is negative, no number, or as `check_radius`.
    """
    if not eps >= 0:
        raise ConfigError(
            f"Expected `eps` to be non-negative, but got {eps}. "
            "Give it in pixel units, such as 8/255."
        )
    check_radius(norm, eps)


def check_radius(norm: str, eps: float) -> None:
    """Raise if a finite Linf radius is larger than the range of a pixel.

    A larger L2, L1 or L0 radius than an image has room for is as good as none, and may be meant so.

    Raises:
        ConfigError: If it is larger, with what was perhaps meant.
    """
    if norm == "Linf" and 1 < eps < math.inf:
        raise ConfigError(
            f"Expected `eps` of Linf to be at most 1, since pixels are in [0, 1], but got {eps:g}. "
            f"Did you mean {eps:g}/255?"
        )


_LONGEST = 110
"""So many letters of someone else's error fit into a line of ours."""


def in_short(error: BaseException, *, kind: bool = False) -> str:
    """Return the first line of an error, cut where it is long.

    Args:
        error: Raised by code that is not ours.
        kind: Whether to name its class also where that says little, as RuntimeError does.
    """
    lines = [line.strip() for line in str(error).splitlines()]
    first = next(iter(lines), "")
    if first.startswith(_TORCHSCRIPT):  # it says last what failed
        first = next(filter(None, reversed(lines))).removeprefix("RuntimeError: ")
    name = type(error).__name__
    if not first or kind or not isinstance(error, RuntimeError):
        first = f"{name}: {first}" if first else name
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 3]}..."


_TORCHSCRIPT = "The following operation failed in the TorchScript interpreter"


def raised_in(error: BaseException | None, package: str) -> bool:
    """Return whether an error was raised in a module whose name begins so."""
    frames = list(traceback.walk_tb(error.__traceback__)) if error is not None else []
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith(package)


def nearest(name: object, names: Iterable[object]) -> str:
    """The end of a sentence that names what was perhaps meant; empty if nothing is near."""
    found = nearest_name(str(name), names)
    return f" Did you mean {found}?" if found else ""


def nearest_name(name: str, names: Iterable[object]) -> str | None:
    """Return the name that is perhaps meant; None if nothing is near.

    A name that differs in the case of its letters alone comes first.
    """
    others = [str(n) for n in names if n != name]
    same = [n for n in others if n.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, others, n=1)), None)


def how_to_install(extra: str) -> str:
    """Return the sentence that says how packages are installed which not everybody needs.

    Args:
        extra: Their name in this package, such as ``onnx``.
    """
    return f'Install it: pip install "robust-defenses[{extra}]".'


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a quota, and a limit of the size of a file."""
_PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES)


def unusable_path(error: BaseException | None) -> str | None:
    """Say what is wrong with a path that no file can have; None of any other error.

    Args:
        error: Raised where a path that someone names was looked up.
    """
    if not isinstance(error, OSError) or error.errno not in _PATHS or error.filename is None:
        return None
    name = os.fsdecode(error.filename)
    shown = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
    return f"Expected a path that can be used, but got {shown} ({error.strerror}). Name another."
