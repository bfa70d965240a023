"""`robust list`: what there is by short names, read from files without importing them."""

import ast
import importlib.util
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path

from robust.errors import ConfigError
from robust.loading import short_names
from robust.loading.messages import nearest
from robust.loading.trust import shown

_PACKAGE = Path(__file__).parents[1]
_NARROWEST = 20
"""Columns that a sentence takes at least."""
_Classes = Mapping[str, ast.ClassDef]
_ABBREVIATIONS = r"(?<!et al)(?<!vs)(?<!e\.g)(?<!i\.e)(?<!Eq)"


def list_names(args: Sequence[str]) -> int:
    """Print the names of a kind, each with a sentence: one a line in a pipe.

    Raises:
        ConfigError: If there is no such kind.
    """
    if not args or args[0] in ("--help", "-h"):
        print(f"usage: robust list KIND\n\nKIND is one of {', '.join(KINDS)}.")
        return 0
    if args[0] not in KINDS or len(args) > 1:
        wrong = args[0] if args[0] not in KINDS else args[1]
        raise ConfigError(
            f"Expected one of {', '.join(KINDS)}, but got {shown(wrong)!r}.{nearest(wrong, KINDS)}"
        )
    told = KINDS[args[0]]()
    others = _torchattacks() if args[0] == "attacks" else []
    if sys.stdout.isatty():
        _explain(told, others)
    else:
        _print_lines({**told, **{f"torchattacks.{name}": _FOREIGN for name in others}})
    return 0


_FOREIGN = "The class of torchattacks."


def _print_lines(told: Mapping[str, str]) -> None:
    longest = max(map(len, told))
    print("\n".join(f"{name:{longest}}  {sentence}" for name, sentence in told.items()))


def _explain(told: Mapping[str, str], others: Sequence[str]) -> None:
    longest = max(map(len, told))
    for name, sentence in told.items():
        print(_wrapped(f"{name:{longest}}  {sentence}", longest + 2))
    if others:
        classes = f"And classes of torchattacks, such as torchattacks.FGSM: {', '.join(others)}."
        print(f"\n{_wrapped(classes, 2)}\n\n{_wrapped(_ELSEWHERE, 2)}")


_ELSEWHERE = (
    "A suite may also name a function of a model, images and labels that returns adversarial "
    "images, such as mymodule.my_attack, and attacks of other libraries, such as "
    "adv_lib.attacks.fmn and foolbox.attacks.LinfPGD. Add --trust with their package."
)


def _wrapped(line: str, indent: int) -> str:
    """Return an entry of a list in as many lines as the terminal needs."""
    return textwrap.fill(
        line,
        max(shutil.get_terminal_size().columns, indent + _NARROWEST),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, in one line."""
    line = " ".join(text.split())
    found = re.search(rf"{_ABBREVIATIONS}[.?](?=\s|$)", line)
    return line[: found.end()] if found else line


def _header(path: Path) -> str:
    """Return the comment at the top of a YAML file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.lstrip("# ") for line in takewhile(lambda x: x.startswith("#"), lines))


def _of_files(kind: short_names.Kind) -> dict[str, str]:
    return {name: first_sentence(_header(path)) for name, path in short_names.known(kind).items()}


def _of_classes(package: str, is_one: Callable[[_Classes, str], bool]) -> dict[str, str]:
    """Return those of the public classes of a package that are what is asked for."""
    classes = _classes(package)
    public = _literal(_parsed(_PACKAGE / package / "__init__.py"), "__all__")
    return {
        f"robust.{package}.{name}": first_sentence(ast.get_docstring(classes[name]) or "")
        for name in public
        if name in classes and is_one(classes, name)
    }


def _classes(package: str) -> dict[str, ast.ClassDef]:
    trees = map(_parsed, sorted((_PACKAGE / package).rglob("*.py")))
    return {
        node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)
    }


def _is_attack(classes: _Classes, name: str) -> bool:
    """Whether a class derives from our base of attacks, as far as the package's files tell."""
    parents = [ast.unparse(base) for base in classes[name].bases]
    return "Attack" in parents or any(_is_attack(classes, p) for p in parents if p in classes)


def _is_network(classes: _Classes, name: str) -> bool:
    """Whether a class is told the number of classes."""
    arguments = (node for node in ast.walk(classes[name]) if isinstance(node, ast.arg))
    return any(argument.arg == "num_classes" for argument in arguments)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _literal(tree: ast.Module, name: str) -> list[str]:
    """Return the list of texts that a module assigns to a name."""
    return [text for value in _values(tree, name) for text in ast.literal_eval(value)]


def _values(tree: ast.Module, name: str) -> Iterator[ast.expr]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign)
            yield node.value


def _torchattacks() -> list[str]:
    """Return the names of the attacks of torchattacks, which is not imported."""
    found = importlib.util.find_spec("torchattacks")
    return [] if found is None or not found.origin else _public(Path(found.origin))


def _public(file: Path) -> list[str]:
    return _literal(_parsed(file), "__all__")


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "defenses": lambda: _of_files("defense"),
    "attacks": lambda: _of_classes("attacks", _is_attack),
    "suites": lambda: _of_files("suite"),
    "data": lambda: _of_files("data"),
    "tables": lambda: _of_files("table"),
    "networks": lambda: _of_classes("networks", _is_network),
    "sweeps": lambda: _of_files("sweep"),
}
