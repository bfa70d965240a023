"""Tables of the papers: files of ``papers/*/tables``, and which run is which of their columns."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from robust.errors import ConfigError
from robust.io.names import check_name
from robust.loading.classes import KindOf, imported_kind
from robust.loading.messages import nearest
from robust.loading.parsing.fractions import read_yaml
from robust.results.published.cells import MEASURED, MEASURES
from robust.results.records import Evaluation
from robust.vocabulary import View

_Result = TypeVar("_Result")


class PaperTable(NamedTuple):
    """A table of a paper, and which run is which of its columns."""

    path: Path
    content: dict[str, Any]
    columns: dict[str, str]
    """Names of runs, by column."""
    notes: list[str]
    """On runs that are none of its columns."""

    @staticmethod
    def load(path: Path, runs: Mapping[str, Mapping[str, Any]]) -> "PaperTable":
        """Read a table and find its columns among runs.

        Args:
            path: A file of ``papers/*/tables``.
            runs: What each is of, by name: ``model`` and ``data``.

        Raises:
            ConfigError: As `read_table` and `match_columns`.
        """
        content = read_table(path, functools.partial(imported_kind, where=path))
        columns = match_columns(content, runs)
        others = [name for name in runs if name not in columns.values()]
        notes = [f"No column of this table: {', '.join(others)}."] if others else []
        return PaperTable(path, content, columns, notes)

    @property
    def measured(self) -> bool:
        """Whether its numbers are of a measurement, not of attacks."""
        return bool(self.content["metric"] == MEASURED)

    def suite(self, key: str = "suite") -> Path:
        """The file that it names as its ``suite`` or ``adaptive_suite``."""
        return self.path.parent / str(self.content[key])

    @property
    def crafted(self) -> dict[str, set[str]]:
        """Columns that its rows attack by what is crafted on another column, by that one."""
        crafted: dict[str, set[str]] = {}
        for row in self.content["rows"].values():
            if "crafted_on" in row:
                crafted.setdefault(row["crafted_on"], set()).update(row["published"])
        return crafted

    def of_columns(self, results: Mapping[str, _Result]) -> dict[str, _Result]:
        """Results by run as results by column, of those runs that have one."""
        return {c: results[name] for c, name in self.columns.items() if name in results}

    def suite_notes(self, columns: Mapping[str, Evaluation]) -> list[str]:
        """That another suite was run than the table's, if it was.

        Args:
            columns: Records by column.
        """
        file = self.suite()
        own = str(read_yaml(file).get("suite", file.stem))
        run = {evaluation.header.suite for evaluation in columns.values()} - {own}
        return [f"Attacked with suite {', '.join(sorted(run))} instead of {own}."] if run else []

    def check_source(self, *, given: bool, data: str | None = None) -> None:
        """Raise unless what its attacks are crafted on is given once, by a flag or by its rows.

        Args:
            given: Whether by a flag.
            data: The data set of the network that the flag names.

        Raises:
            ConfigError: With what to do about ``--transfer-from``.
        """
        if not given and self.content.get("view") == "transfer":
            raise ConfigError(
                f"Expected --transfer-from with {self.path}, whose attacks are crafted on another "
                "network. Name the run of the one that the head of the file says."
            )
        if given and any("crafted_on" in row for row in self.content["rows"].values()):
            raise ConfigError(
                f"Expected no --transfer-from with {self.path}, whose rows say what they are "
                "crafted on. Leave it out."
            )
        wanted = self.content.get("data")
        if given and None not in (wanted, data) and data != wanted:
            raise ConfigError(
                f"Expected --transfer-from with a run as in {self.content['title']}, but got one "
                f"with data: {data}, where the table is of {wanted}. Name a run on its data."
            )


def read_table(path: Path, kind_of: KindOf = imported_kind) -> dict[str, Any]:
    """The content of a file of ``papers/*/tables``.

    Args:
        path: The file.
        kind_of: Knows the classes that it names.

    Raises:
        ConfigError: If the file cannot be read, or lacks what a table needs. Also if it names a
            class, an argument, a column, an attack or a measure that there is not.
    """
    table = read_yaml(path)
    needed = {"title", "metric", "columns", "rows"}
    needed |= set() if table.get("metric") == MEASURED else {"suite", "clean_acc"}
    _require(table, needed, f"a table in {path}")
    for key in ("columns", "rows"):
        _require(table[key], set(), f"`{key}` of {path}")
    _check_facts(table, f"table {path}", kind_of)
    _check_words(table, path)
    for name, column in table["columns"].items():
        _require(column, {"class_path"}, f"column {name!r} of {path}")
        _check_classes(column, kind_of)
        _check_facts({**column, "data": None}, f"column {name!r} of {path}", kind_of)
    for name, row in table["rows"].items():
        _check_row(table, row, f"row {name!r} of {path}")
    if "suite" in table:
        _check_attacks(table, "suite", path, [row["attack"] for row in table["rows"].values()])
    named = [name for row in table["rows"].values() for name in row.get("adaptive", [])]
    if named or "adaptive_suite" in table:
        _require(table, {"adaptive_suite"}, f"a table with rows that name `adaptive` in {path}")
        _check_attacks(table, "adaptive_suite", path, named)
    return table


def match_columns(
    table: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The run of each column of a table: the one that is what the column describes.

    Args:
        table: With ``columns``.
        runs: What each is of, by name: ``model`` and ``data``.

    Raises:
        ConfigError: If two runs are the same column, or a column names no class.
    """
    columns: dict[str, str] = {}
    for column, wanted in table["columns"].items():
        found = [name for name, run in runs.items() if is_column(wanted, run)]
        if len(found) > 1:
            raise ConfigError(
                f"Expected one run for column {column!r} of {table['title']}, but got "
                f"{' and '.join(found)}. Name one of each defense."
            )
        if found:
            columns[column] = found[0]
    return columns


def is_column(
    wanted: Mapping[str, Any], run: Mapping[str, Any], kind_of: KindOf = imported_kind
) -> bool:
    """Whether a run is what a column describes.

    A column describes a defense by its ``class_path``, and by ``init_args`` as far as they tell the
    columns apart. These may be nested like those of a config. It describes data by ``data``. A
    subclass is what its base is; an argument that a run does not have is at its default.

    Args:
        wanted: The column.
        run: With ``model`` and ``data``, each a class path with plain arguments.
        kind_of: Knows the classes that both name.

    Raises:
        ConfigError: If one of them names no class.
    """
    parts = (wanted, run["model"]), (wanted.get("data", {}), run["data"])
    return all(_fits(part, value, kind_of) for part, value in parts)


def _fits(wanted: Any, value: Any, kind_of: KindOf) -> bool:  # noqa: ANN401
    """Whether a described object or plain value is the wanted one, of which less may be said."""
    if isinstance(wanted, Mapping) and "class_path" in wanted and isinstance(value, str):
        value = {"class_path": value}  # as a flag may name it
    if not isinstance(wanted, Mapping) or not isinstance(value, Mapping):
        return bool(wanted == value)
    if "class_path" in wanted and "class_path" not in value:
        # Of a class that has no subclasses, a config holds the arguments alone.
        value = {"class_path": wanted["class_path"], "init_args": value}
    if "class_path" not in value:
        return all(_fits(part, value.get(key), kind_of) for key, part in wanted.items())
    kind = kind_of(value["class_path"])
    if kind_of(wanted.get("class_path", value["class_path"])).name not in kind.ancestors:
        return False
    arguments = {**(kind.defaults or {}), **(value.get("init_args") or {})}
    described = wanted.get("init_args", {}).items()
    return all(_fits(part, arguments.get(key), kind_of) for key, part in described)


def _check_classes(wanted: Any, kind_of: KindOf) -> None:  # noqa: ANN401
    """Raise unless every class that a column names, at any depth, has the arguments named."""
    if not isinstance(wanted, Mapping):
        return
    if "class_path" in wanted:
        check_name("`class_path` in the table", wanted["class_path"])
        known = kind_of(wanted["class_path"]).defaults
        arguments = wanted.get("init_args", {})
        _require(arguments, set(), f"`init_args` of {wanted['class_path']} in the table")
        for key in arguments:
            if known is not None and key not in known:
                raise ConfigError(
                    f"Expected an argument of {wanted['class_path']} in the table "
                    f"({', '.join(sorted(known))}), but got {key!r}.{nearest(key, known)}"
                )
    for part in wanted.values():
        _check_classes(part, kind_of)


def _check_facts(content: Mapping[str, Any], where: str, kind_of: KindOf) -> None:
    """Raise unless what is said of data, network and epochs can be compared with a run's."""
    data, network, epochs = (content.get(key) for key in ("data", "network", "epochs"))
    if data is not None and not isinstance(data, str):
        raise ConfigError(
            f"Expected `data` of {where} to be the name of a data set, but got {data!r}. Write it "
            "as mnist."
        )
    if epochs is not None and (type(epochs) is not int or epochs < 1):
        raise ConfigError(
            f"Expected `epochs` of {where} to be a number from 1, but got {epochs!r}. Write null "
            "if the paper does not say it."
        )
    if isinstance(network, str):
        kind_of(network)
    elif network is not None:
        _require(network, {"class_path"}, f"`network` of {where}")
        _check_classes(network, kind_of)


def _check_row(table: Mapping[str, Any], row: Any, where: str) -> None:  # noqa: ANN401
    measured = table["metric"] == MEASURED
    _require(row, {"published", "measure" if measured else "attack"}, where)
    _check_numbers(row["published"], f"`published` of {where}")
    check_name(f"what {where} measures", row["measure" if measured else "attack"])
    named = row.get("adaptive", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f"Expected `adaptive` of {where} to be a list of attacks' names.")
    columns = [*row["published"], *([row["crafted_on"]] if "crafted_on" in row else [])]
    for column in columns:
        if column not in table["columns"]:
            raise ConfigError(
                f"Expected {where} to name columns of the table ({', '.join(table['columns'])}), "
                f"but got {column!r}.{nearest(column, table['columns'])}"
            )
    if measured:
        _check_measure(row["measure"], where)
    if "adaptive" in row and table["metric"] != "robust accuracy":
        raise ConfigError(
            f"Expected `adaptive` in tables of robust accuracy alone, but {where} has it in one of "
            f"{table['metric']}. Remove it."
        )


def _check_words(table: Mapping[str, Any], path: Path) -> None:
    """Raise unless names print, views are views, and numbers are numbers or null."""
    for key in ("title", "metric", "suite", "adaptive_suite"):
        if key in table:
            check_name(f"`{key}` of {path}", table[key])
    for key in ("view", "beside"):
        if table.get(key, "deployed") not in (*get_args(View), "transfer"):
            raise ConfigError(
                f"Expected `{key}` of {path} to be one of {', '.join(get_args(View))}, but got "
                f"{table[key]!r:.60}.{nearest(table[key], get_args(View))}"
            )
    draw = table.get("draw", 1)
    if not isinstance(draw, int) or isinstance(draw, bool) or draw < 1:
        raise ConfigError(f"Expected `draw` of {path} to be at least 1, but got {draw!r:.60}.")
    for name in (*table["columns"], *table["rows"]):
        check_name(f"a key of `columns` or `rows` of {path}", name)
    if "clean_acc" in table:
        _check_numbers(table["clean_acc"], f"`clean_acc` of {path}")


def _check_numbers(numbers: Any, what: str) -> None:  # noqa: ANN401
    _require(numbers, set(), what)
    for column, number in numbers.items():
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if number is not None and not (is_number and math.isfinite(number)):
            raise ConfigError(
                f"Expected {what} to hold numbers, or null for what is lost, but got "
                f"{number!r:.60} for {column!r}."
            )


def _check_measure(name: str, where: str) -> None:
    if name not in MEASURES:
        raise ConfigError(
            f"Expected the `measure` of {where} to be one of {', '.join(MEASURES)}, but got "
            f"{name!r}.{nearest(name, MEASURES)}"
        )


def _check_attacks(table: Mapping[str, Any], key: str, path: Path, names: list[str]) -> None:
    suite = path.parent / str(table[key])
    attacks = read_yaml(suite).get("attacks")
    _require(attacks, set(), f"`attacks` of {suite}")
    assert isinstance(attacks, Mapping)
    for name in names:
        if name not in attacks:
            raise ConfigError(
                f"Expected the rows of {path} to name attacks of {suite} ({', '.join(attacks)}), "
                f"but got {name!r}.{nearest(name, attacks)}"
            )


def _require(content: Any, keys: set[str], what: str) -> None:  # noqa: ANN401
    if not isinstance(content, Mapping):
        raise ConfigError(f"Expected {what} to be a mapping, but got {content!r}.")
    missing = keys - set(content)
    if missing:
        raise ConfigError(
            f"Expected {what}, but it lacks {', '.join(sorted(missing))}. See papers/*/tables."
        )
