"""The one error that is the user's to fix."""


class ConfigError(ValueError):
    """Something in a config, a flag or a file that the user can fix.

    The message says what was expected, what was got and what to do. The commands print it as one
    line and exit with code 2; every other exception is a defect of ours and keeps its traceback.
    """


_LONGEST = 110
"""Letters of someone else's error that a line of ours has room for."""


def in_short(error: BaseException, *, kind: bool = False) -> str:
    """The first line of an error, cut where it is long.

    Args:
        error: Raised by code that is not ours.
        kind: Whether to name its class also where that says little, as RuntimeError does.
    """
    first = next(iter(str(error).splitlines()), "").strip()
    name = type(error).__name__
    if not first or kind or not isinstance(error, RuntimeError):
        first = f"{name}: {first}" if first else name
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 3]}..."
