"""Parsers that build only what is trusted: jsonargparse's own rules, and those that it lacks."""

import contextlib
import inspect
import os
import re
from argparse import SUPPRESS, Action
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import Namespace, get_loader
from torchattacks.attack import Attack as TorchAttack

from robust.errors import ConfigError
from robust.evaluation.inheritance import INHERITABLE
from robust.io.streams import print_all, say
from robust.loading import class_paths, trust
from robust.loading.messages import explain, fixable_cause, refused_path, shortened
from robust.loading.parsing.abstract import check_concrete, check_flag
from robust.loading.parsing.fractions import PARSER_MODE, read_yaml
from robust.loading.parsing.given import check_given
from robust.loading.parsing.rules import RestrictedParser, build, guarded

_NO_CLASSES = re.compile(r"--(config|ckpt_path|run\..*|seed_everything)")
"""Flags whose value is never a class, so that a file's name or a run's is not taken for one."""
_LARGEST = 1 << 20
"""Bytes of a file that is looked into before the parser does."""


def check_built(config: object, where: object = "") -> None:
    """Raise unless every class that a parsed config is about to build may be, and has a type.

    Args:
        config: A namespace, or plain values.
        where: The file that it was read from, for messages.

    Raises:
        UntrustedError: If a class is not trusted.
        ConfigError: If one is abstract, or is given for an argument that takes plain values.
    """
    kinds = []
    for path, arguments in _described(config):
        place = where or file_naming(path)
        with contextlib.suppress(ImportError, AttributeError):  # the parser says so
            kinds.append((class_paths.imported(path, place), path, arguments, place))
    for kind, path, arguments, place in kinds:
        check_concrete(kind, path, place)
        _check_typed(kind, path, arguments, place)
    for function in _functions(config):
        path = class_paths.definition(function) or ""
        if "<" not in path:  # a default of code, which no path names
            class_paths.check_function(function, path, where or file_naming(path))


def _described(config: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Class paths and arguments of all that a config describes, at any depth."""
    for value in _parts(config):
        path = value.get("class_path") if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and trust.is_class_path(path):
            arguments = _mapping(value.get("init_args"))
            yield path, arguments if isinstance(arguments, Mapping) else {}


def _functions(config: object) -> Iterator[object]:
    return (value for value in _parts(config) if inspect.isroutine(value))


def _parts(config: object) -> Iterator[object]:
    """A config and all in it, at any depth; what aliases share comes once."""
    stack, seen = [config], set[int]()
    while stack:
        value = _mapping(stack.pop())
        if isinstance(value, (Mapping, list, tuple)):
            if id(value) in seen:
                continue
            seen.add(id(value))
            stack += value.values() if isinstance(value, Mapping) else value
        yield value


def _mapping(value: object) -> object:
    return vars(value) if isinstance(value, Namespace) else value


def _check_typed(kind: Any, path: str, arguments: Mapping[str, Any], where: object) -> None:  # noqa: ANN401
    for key, value in arguments.items():
        named = next((inner for inner, _ in _described(value)), None)
        if named is not None and _is_untyped(kind, key):
            place = f" in {where}" if where else ""
            raise ConfigError(
                f"Expected a plain value for `{key}` of {path}{place}, but got the class {named}. "
                "Nothing is built for an argument without a type."
            )


def _is_untyped(kind: Any, key: str) -> bool:  # noqa: ANN401
    """Whether an argument of a class says nothing of what it takes."""
    for owner in getattr(kind, "__mro__", (kind,)):
        with contextlib.suppress(TypeError, ValueError):
            makes = vars(owner).get("__init__") if inspect.isclass(owner) else owner
            if makes is not None and key in (known := inspect.signature(makes).parameters):
                said = known[key].annotation
                return said in (inspect.Parameter.empty, Any, object, "Any", "object")
    return True


def check_files(arguments: Sequence[str]) -> None:
    """Raise unless every class path in files that flags name, and in those that these name, may be.

    The parser would refuse it later, without saying which file it was.

    Raises:
        UntrustedError: With the class, the file, and the flag that would allow it.
        ConfigError: If a class is abstract.
    """
    _files.clear()
    for flag, value in _values(arguments):
        check_flag(flag, _loaded(value))
    todo = [Path(word) for argument in arguments for word in (argument, argument.partition("=")[2])]
    while todo:
        path = todo.pop()
        if path in _files or not _is_small_file(path):
            continue
        _files.append(path)
        try:
            content = read_yaml(path)
        except ConfigError:  # the parser's to explain, or no YAML at all
            continue
        check_built(content, path)
        _check_trainer(content.get("trainer"), path)
        for text in class_paths.strings(content):
            todo += [path.parent / text, Path(text)]


def _check_trainer(trainer: object, path: Path) -> None:
    """Lightning takes words for these, too, and would say late that a class path is none."""
    if not isinstance(trainer, Mapping):
        return
    for key in ("accelerator", "callbacks", "logger", "plugins", "profiler", "strategy"):
        for name in class_paths.foreign(trainer.get(key)):
            class_paths.check_path(name, path)


_files: list[Path] = []
"""What `check_files` has looked into, for messages."""


def file_naming(path: str) -> str:
    """The file among those that flags name in which a class path, or its last name, is.

    Empty if there is none.
    """
    texts = {}
    for file in _files:
        with contextlib.suppress(OSError):
            texts[file] = file.read_text(encoding="utf-8", errors="replace")
    for name in filter(None, (path, path.rpartition(".")[2])):
        for file, text in texts.items():
            if name in text:
                return str(file)
    return ""


def _is_small_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGEST
    except (OSError, ValueError):  # a name too long for one, or with a null byte
        return False


def typed(arguments: Sequence[str]) -> list[str]:
    """What the user's own flags name, which is trusted: their classes, by each of their names.

    Nothing if a sweep file wrote the flags.

    Args:
        arguments: The command line after the program.
    """
    if os.environ.get(trust.FLAGS_OF_FILE):
        return []
    names = (
        name for _, value in _values(arguments) for name in class_paths.foreign(_loaded(value))
    )
    return [again for name in names for again in class_paths.names_of(name)]


def _values(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags that may take classes, each with its value after an equals sign or in the next word."""
    flag = ""
    for word in arguments:
        if word.startswith("--"):
            flag, _, word = word.partition("=")
        if word and not _NO_CLASSES.fullmatch(flag):
            yield flag, word


def _loaded(text: str) -> object:
    try:
        return get_loader(PARSER_MODE)(text)
    except (yaml.YAMLError, ConfigError):  # the parser says what is wrong with it
        return None


class Parser(RestrictedParser):
    """Parser that builds only what is trusted, and says in one line what is wrong."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        # An abbreviation that is right today may mean another flag tomorrow.
        super().__init__(**{"allow_abbrev": False, "parser_mode": PARSER_MODE, **kwargs})
        super().add_instantiator(build, object)

    def add_class_arguments(
        self,
        class_type: type,
        nested_key: str | None = None,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> list[str]:
        """Add arguments of a class; an attack has those it may inherit only where they are given.

        So a suite knows which to take from its threat model, also one in a run's ``config.yaml``.
        """
        added: list[str] = super().add_class_arguments(class_type, nested_key, *args, **kwargs)
        if nested_key is None and issubclass(class_type, TorchAttack):
            for action in self._actions:
                if action.dest in INHERITABLE:
                    action.default = SUPPRESS
        return added

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the error and exit with code 2, or raise it where a nested parser asks for that."""
        if not self.exit_on_error:
            super().error(message, ex)
        where = file_naming(refused_path(message))
        said = fixable_cause(ex) or explain(message, self._names(), where)
        say(f"error: {shortened(said)}")
        raise SystemExit(2)

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401
        """Print help, and raise where standard output cannot be written: argparse would not."""
        print_all(message, file)

    def validate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Check the values of a config, also that none is null that cannot be."""
        super().validate(namespace, *args, **kwargs)
        for action in self._actions:
            if action.dest in namespace:
                check_given(action.dest, namespace[action.dest], action)

    def _check_value_key(
        self,
        action: Action,
        value: Any,  # noqa: ANN401
        key: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        # It asks this, too, which arguments of one class another one takes over.
        check_given(key, value, action)
        return super()._check_value_key(action, value, key, *args, **kwargs)

    def instantiate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Build what a parsed config describes, after `check_built`."""
        check_built(namespace)
        return super().instantiate(namespace, *args, **kwargs)

    def add_instantiator(
        self,
        instantiator: Callable[..., Any],
        class_type: type,
        subclasses: bool = True,
        prepend: bool = False,
    ) -> None:
        """Let ``instantiator`` build classes, and name the one that refuses (see `guarded`)."""
        super().add_instantiator(guarded(instantiator), class_type, subclasses, prepend)

    def _names(self) -> list[str]:
        """Keys and flags of this parser and of its subcommands."""
        parsers = [self, *getattr(self._subcommands_action, "_name_parser_map", {}).values()]
        return [name for p in parsers for a in p._actions for name in (a.dest, *a.option_strings)]
