"""The generated reference: the Python face, classes of configs, commands, suites and attacks."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

import robust
from docsite.pages import ROOT, write
from robust.commands.listing import KINDS
from robust.commands.main import HELP

_CLASS = re.compile(r"\brobust(?:\.[a-z]\w*)+\.[A-Z]\w*")
_FOLDERS = ("configs", "sweeps", "papers")
_GROUPS = {
    "defenses": "Defenses",
    "networks": "Networks",
    "transforms": "Input transforms",
    "attacks": "Attacks",
    "data": "Data",
    "tracking": "Callbacks",
}


def write_reference(folder: Path) -> None:
    """Write the pages of the reference into a folder of the site."""
    for name, make in pages().items():
        write(folder / "reference" / f"{name}.md", make())


def pages() -> dict[str, Callable[[], str]]:
    """Return what makes each page of the reference."""
    return {
        "api": api,
        "classes": classes,
        "commands": commands,
        "suites": suites,
        "attacks": attacks,
        "names": names,
    }


def face() -> list[str]:
    """Return the public names of `robust` that have a docstring of their own."""
    return [name for name in robust.__all__ if name not in ("__version__", "attacks")]


def api() -> str:
    """Return the page of `robust.__all__`."""
    functions = [name for name in face() if name.islower()]
    others = [name for name in face() if not name.islower()]
    parts = [
        "# Python",
        "All names of `import robust`. [In Python](../python.md) shows how they are used.",
        "`robust.__version__` is the version, and `robust.attacks` has the attacks "
        "([classes](classes.md#attacks)).",
        "## Functions",
        *(_docstring(f"robust.{name}") for name in functions),
        "## Classes",
        *(_docstring(f"robust.{name}") for name in others),
    ]
    return "\n\n".join(parts) + "\n"


def named() -> list[str]:
    """Return the classes of this package that configs, suites and sweeps name."""
    files = [path for name in _FOLDERS for path in sorted((ROOT / name).rglob("*.yaml"))]
    return sorted({cls for path in files for cls in _CLASS.findall(path.read_text("utf-8"))})


def classes() -> str:
    """Return the page of the classes that a YAML may name; those of the face are on its page."""
    found = _found()
    parts = [
        "# Classes of configs",
        "What configs, suites and sweeps name by a class path. Arguments are `init_args`. "
        "[Python](api.md) has those of `import robust`.",
    ]
    for package, title in _GROUPS.items():
        members = [name for name in found if name.split(".")[1] == package]
        parts += [f"## {title}", *(_linked(name) for name in members)]
    return "\n\n".join(parts) + "\n"


def _found() -> list[str]:
    return sorted({*named(), *KINDS["attacks"]()})


def ungrouped() -> list[str]:
    """Return the classes whose package has no heading on the page."""
    return [name for name in _found() if name.split(".")[1] not in _GROUPS]


def _linked(name: str) -> str:
    """Return a class, or where it is, if the page of the face has it."""
    last = name.rpartition(".")[2]
    if last in face():
        return f"### {name}\n\nIt is [`robust.{last}`](api.md#robust.{last})."
    return _docstring(name)


def _docstring(name: str) -> str:
    return f"::: {name}\n    options:\n      heading_level: 3"


def command_names() -> list[str]:
    """Return the commands that the help of `robust` names."""
    found = re.findall(r"^  ([a-z][a-z, ]*?)(?: [A-Z].*?)?  +\S", HELP, re.M)
    return [name for names in found for name in names.split(", ")]


def commands() -> str:
    """Return the page of commands: what each prints for ``--help``."""
    parts = [
        "# Commands",
        "What `--help` prints. [Commands](../commands.md) explains them, and "
        "[exit codes](../exit-codes.md) says how they end.",
        _console("robust --help", HELP),
    ]
    for name in command_names():
        parts += [f"## {name}", _console(f"robust {name} --help", help_of(name))]
    return "\n\n".join(parts) + "\n"


def help_of(name: str) -> str:
    """Return the help of a command."""
    command = [sys.executable, "-m", "robust", name, "--help"]
    wide = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(
        command, check=True, cwd=ROOT, env=wide, capture_output=True, text=True
    ).stdout


def _console(command: str, printed: str) -> str:
    return f"```console\n$ {command}\n{printed.rstrip()}\n```"


def suites() -> str:
    """Return the page of suites: the YAML of each."""
    parts = [
        "# Suites",
        "A suite is one YAML: a threat model and named attacks. `--suite NAME` takes one.",
    ]
    for path in sorted((ROOT / "configs" / "suites").glob("*.yaml")):
        attacked = ", ".join(f"`{name}`" for name in yaml.safe_load(path.read_text())["attacks"])
        parts += [f"## {path.stem}", f"Attacks: {attacked}.", f"```yaml\n{_text(path)}```"]
    parts += ["## Suites of papers", _table({**KINDS["suites"]()}, "suite")]
    return "\n\n".join(parts) + "\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def attacks() -> str:
    """Return the page of attacks, as `robust list attacks` has them."""
    return "\n\n".join(
        [
            "# Attacks",
            "What `robust list attacks` prints. Arguments are on the page of "
            "[classes](classes.md#attacks). [Attacks](../attacks.md) says what they cost.",
            _table(KINDS["attacks"](), "attack"),
            "A suite may also name classes of torchattacks, such as `torchattacks.FGSM`, and "
            "functions of other libraries.\n",
        ]
    )


def names() -> str:
    """Return the page of short names, as `robust list` has them."""
    kinds = [kind for kind in KINDS if kind not in ("attacks", "suites")]
    parts = ["# Short names", "What `robust list KIND` prints."]
    for kind in kinds:
        parts += [f"## {kind.capitalize()}", _table(KINDS[kind](), "name")]
    return "\n\n".join(parts) + "\n"


def _table(told: dict[str, str], head: str) -> str:
    rows = [f"| `{name}` | {_cell(sentence)} |" for name, sentence in told.items()]
    return "\n".join([f"| {head} | |", "| --- | --- |", *rows])


def _cell(sentence: str) -> str:
    return sentence.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
