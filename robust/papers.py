"""Tables of the papers: files of ``configs/tables``, and which run is which of their columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from robust.defenses import Defense
from robust.errors import ConfigError
from robust.explain import imported
from robust.parsing import read_yaml


def read_table(path: Path) -> dict[str, Any]:
    """The content of a file of ``configs/tables``.

    Raises:
        ConfigError: If the file cannot be read, or lacks what a table needs.
    """
    table = read_yaml(path)
    missing = {"title", "metric", "suite", "columns", "clean_acc", "rows"} - set(table)
    if missing:
        raise ConfigError(
            f"Expected a table in {path}, but it lacks {', '.join(sorted(missing))}. See "
            "configs/tables."
        )
    return table


def match_columns(table: Mapping[str, Any], defenses: Mapping[str, Defense]) -> dict[str, str]:
    """The run of each column of a table: the one whose defense is what the column describes.

    Args:
        table: Its ``columns`` have a ``class_path``, and ``init_args`` that tell them apart.
        defenses: By the names of their runs.

    Raises:
        ConfigError: If two runs are the same column, or a column names no defense.
    """
    columns: dict[str, str] = {}
    for column, wanted in table["columns"].items():
        kind = _defense_class(wanted["class_path"])
        arguments = wanted.get("init_args", {})
        runs = [
            name
            for name, defense in defenses.items()
            if isinstance(defense, kind)
            and all(getattr(defense, key, None) == value for key, value in arguments.items())
        ]
        if len(runs) > 1:
            raise ConfigError(
                f"Expected one run for column {column!r} of {table['title']}, but got "
                f"{' and '.join(runs)}. Name one of each defense."
            )
        if runs:
            columns[column] = runs[0]
    return columns


def _defense_class(path: str) -> type[Defense]:
    try:
        kind = imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"Expected the class of a defense in the table, but got {path!r} ({error}). See "
            "robust.defenses."
        ) from None
    return cast(type[Defense], kind)
