"""How a call from Python is answered: in Python's words, also about arguments that are unknown."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from lightning.pytorch import Trainer

from robust.errors import ConfigError
from robust.io.call_arguments import check_arguments

_P = ParamSpec("_P")
_R = TypeVar("_R")

_WORDS = (
    (r"`(?:evaluation|trainer|model|data)\.([\w.]+)`", r"`\1`"),
    (r"add --trust ([\w.]+\w)", r'add trust=["\1"]'),
    (r"--run\.id", "another folder"),
    (r"`robust list (\w+)` shows all", r"The command `robust list \1` shows all"),
    (r"Lightning checkpoint", "checkpoint"),
    (r"that train\.py wrote", "that robust.fit or the command wrote"),
)
"""Words of the command, each with those of Python."""


def answered(
    *, skip: Iterable[str] = (), others: Callable[[], Iterable[str]] = tuple
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator that checks the arguments of a call, and puts errors in Python's words.

    Args:
        skip: Arguments whose types the function checks itself.
        others: Names that its ``**`` takes.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            check_arguments(function, function.__name__, args, kwargs, others=others, skip=skip)
            try:
                return function(*args, **kwargs)
            except ConfigError as error:
                said = in_python(str(error))
                if said == str(error):
                    raise
                raise type(error)(said) from error.__cause__

        return call

    return decorate


def in_python(text: str) -> str:
    """Return a message of the command in the words of Python's calls."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def trainer_arguments() -> list[str]:
    """Return the names of the arguments of Lightning's Trainer."""
    return list(inspect.signature(Trainer).parameters)


def as_list(words: Iterable[str] | str | None) -> list[str] | None:
    """Return words as a list, also where one is given alone."""
    return [words] if isinstance(words, str) else None if words is None else list(words)


def check_seed(seed: int) -> None:
    """Raise unless torch, NumPy and Python all take a seed.

    Raises:
        ConfigError: If it is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"Expected `seed` to be 0 to 2**32 - 1, but got {seed}. Choose another.")


def checked(value: Any, kind: type, key: str, example: str) -> Any:  # noqa: ANN401
    """Return an argument of a call.

    Args:
        value: The argument.
        kind: Its class.
        key: Its name.
        example: One, for the message.

    Raises:
        ConfigError: If it is of another class.
    """
    if not isinstance(value, kind):
        given = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise ConfigError(f"Expected {example} as `{key}`, but got {given}. See docs/python.md.")
    return value
