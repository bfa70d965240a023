"""A class that a config names and that refuses to be built is named in one line."""

import functools
from collections.abc import Callable
from typing import Any

from robust.errors import ConfigError, in_short


def guarded(instantiator: Callable[..., Any]) -> Callable[..., Any]:
    """``instantiator`` of jsonargparse, with a ConfigError for whatever a constructor raises.

    jsonargparse itself drops the class and joins the errors of all types that it tried.
    """

    @functools.wraps(instantiator)
    def build(class_type: type, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return instantiator(class_type, *args, **kwargs)
        except ConfigError:
            raise
        # Of any class: also one that ends the process.
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"Expected {class_type.__module__}.{class_type.__qualname__} to be built from its "
                f"`init_args`, but it raised {in_short(error, kind=True)}. Fix them, or choose "
                "another class."
            ) from error

    return build


@guarded
def build(class_type: type, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """An object of a class that a config names.

    Raises:
        ConfigError: If its constructor raises anything.
    """
    return class_type(*args, **kwargs)
