"""Our rules for jsonargparse, which follows them only while one of our parsers works.

Its settings belong to the process, in which a user may have a command line of their own.
"""

import contextlib
import functools
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jsonargparse import (
    Namespace,
    _actions,
    _common,
    _loaders_dumpers,
    _paths,
    set_parsing_settings,
)
from lightning.pytorch.cli import LightningArgumentParser

from robust.errors import ConfigError, Stopped, in_short
from robust.io.strict_yaml import StrictLoader
from robust.loading import class_paths
from robust.loading.parsing import lookups
from robust.loading.parsing.fractions import read_checked


@contextlib.contextmanager
def restricted() -> Iterator[None]:
    """Have jsonargparse follow our rules meanwhile, then again those from before.

    It imports only what is trusted, builds nothing that is untyped, and reads strict YAML.

    Raises:
        ConfigError: If the environment's trust cannot be read.
    """
    if _active:  # within another call of ours
        yield
        return
    verdicts = class_paths.verdicts()
    earlier = [(place, name, getattr(place, name)) for place, name, _ in _OURS]
    settings = dict(_common.parsing_settings)
    _active.append(True)
    try:
        for place, name, own in _OURS:
            setattr(place, name, own)
        usual = dict.fromkeys(_common.default_import_path_denylist, False)
        _common.parsing_settings["import_path_verdicts"] = usual
        set_parsing_settings(
            instantiate_subclass_spec_in_any=False,
            import_path_denylist=[
                "*",
                *(path for path, allowed in verdicts.items() if not allowed),
            ],
            import_path_allowlist=[path for path, allowed in verdicts.items() if allowed],
        )
        with lookups.faster():
            yield
    finally:
        _active.clear()
        _common.parsing_settings.update(settings)
        for place, name, value in earlier:
            setattr(place, name, value)


_active: list[bool] = []
logging.getLogger("jsonargparse_null_logger").setLevel(logging.CRITICAL)
"""It prints nothing, but puts each of hundreds of messages together."""
_import_class: Any = getattr(_actions, "import_object")  # noqa: B009 (not exported, to mypy)


def _import_no_file(name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Import a class, unless it is a file: for ``suite.yaml`` jsonargparse would import `suite`."""
    if str(name).endswith(_FILES) or Path(name).is_file():
        raise ValueError(f"Expected a class, but {name} is a file.")
    return _import_class(name, *args, **kwargs)


_FILES = (".yaml", ".yml", ".json")
_OURS: tuple[tuple[Any, str, Any], ...] = (
    (_actions, "import_object", _import_no_file),
    (_paths.Path, "read_text", read_checked),
    # What it reads numbers with where an argument has a type.
    (_loaders_dumpers, "yaml_default_loader", StrictLoader),
)
"""What of jsonargparse our parsers replace while they work."""


def guarded(instantiator: Callable[..., Any]) -> Callable[..., Any]:
    """``instantiator`` of jsonargparse, with a ConfigError for whatever a constructor raises.

    jsonargparse itself drops the class and joins the errors of all types that it tried.
    """

    @functools.wraps(instantiator)
    def build(class_type: type, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return instantiator(class_type, *args, **kwargs)
        except (ConfigError, Stopped):
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


class RestrictedParser(LightningArgumentParser):
    """A parser of this kind parses, builds and dumps under our rules (see `restricted`)."""

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """Add the arguments of a class."""
        with lookups.faster():
            return list(super().add_class_arguments(*args, **kwargs))

    def add_subclass_arguments(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Add an argument that takes a class and its arguments."""
        with lookups.faster():
            super().add_subclass_arguments(*args, **kwargs)

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override] # noqa: ANN401
        """Parse the words of a command line."""
        if _active and args and isinstance(args[0], list):
            # jsonargparse reads a value below two classes, and hands it on as Python prints it.
            args = ([re.sub("=None$", "=null", word) for word in args[0]], *args[1:])
        with restricted():
            return super().parse_args(*args, **kwargs)

    def parse_object(self, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Parse plain values."""
        with restricted():
            parsed: Namespace = super().parse_object(*args, **kwargs)
            return parsed

    def parse_path(self, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Parse a file."""
        with restricted():
            parsed: Namespace = super().parse_path(*args, **kwargs)
            return parsed

    def parse_string(self, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Parse a text."""
        with restricted():
            parsed: Namespace = super().parse_string(*args, **kwargs)
            return parsed

    def validate(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Check the values of a config."""
        with restricted():
            super().validate(*args, **kwargs)

    def instantiate(self, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Build what a parsed config describes."""
        with restricted():
            built: Namespace = super().instantiate(*args, **kwargs)
            return built

    def dump(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        """Write a parsed config as text."""
        with restricted():
            return str(super().dump(*args, **kwargs))
