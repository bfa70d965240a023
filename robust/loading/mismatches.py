"""How a run differs from the networks of a paper's table: other data, network or epochs.

A table may name its ``data`` (the data set), its ``network`` (a class path, or one with
``init_args``) and its ``epochs``. A column may have a ``network`` and ``epochs`` of its own. Null
means that the paper does not say it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from robust.errors import ConfigError
from robust.loading.classes import KindOf, imported_kind
from robust.loading.paper_tables import PaperTable, is_column

FACTS = ("data", "network", "epochs")
"""What a table may say of its networks, besides the defense of each column."""
_UNKNOWN = "unknown"


class Mismatch(NamedTuple):
    """One thing in which a run differs from the networks of a table."""

    key: str
    """One of `FACTS`."""
    found: str
    wanted: str

    def __str__(self) -> str:
        """It, with both sides."""
        return f"{self.key}: {self.found}, where the table is of {self.wanted}"


def mismatches(
    table: Mapping[str, Any],
    column: str | None,
    run: Mapping[str, Any],
    kind_of: KindOf = imported_kind,
) -> list[Mismatch]:
    """In what a run differs from the networks of a column, as far as the table says what those are.

    What is not known of a run differs, too.

    Args:
        table: Content of a file of ``papers/*/tables``.
        column: The run's; only data sets are compared if None.
        run: With ``model``, and with ``data_set`` and ``epochs`` as far as they are known.
        kind_of: Knows the classes that both name.
    """
    return list(_mismatches(table, column, run, kind_of))


def _mismatches(
    table: Mapping[str, Any], column: str | None, run: Mapping[str, Any], kind_of: KindOf
) -> Iterator[Mismatch]:
    data = table.get("data")
    if data is not None and run.get("data_set") != data:
        yield Mismatch("data", str(run.get("data_set") or _UNKNOWN), data)
    if column is None:
        return
    network, epochs = (_of_column(table, column, key) for key in ("network", "epochs"))
    if network is not None and not _has_network(network, run, kind_of):
        found = run["model"].get("init_args", {}).get("network")
        yield Mismatch("network", _named(found, network), _named(network, network))
    if epochs is not None and run.get("epochs") != epochs:
        known = run.get("epochs")
        yield Mismatch("epochs", _UNKNOWN if known is None else str(known), str(epochs))


def _of_column(table: Mapping[str, Any], column: str, key: str) -> Any:  # noqa: ANN401
    own = table["columns"][column]
    return own[key] if key in own else table.get(key)


def _has_network(network: str | Mapping[str, Any], run: Mapping[str, Any], kind_of: KindOf) -> bool:
    wanted = {"class_path": network} if isinstance(network, str) else network
    model = run["model"]
    column = {"class_path": model["class_path"], "init_args": {"network": wanted}}
    try:
        return is_column(column, {"model": model, "data": {}}, kind_of)
    except ConfigError:  # of a class that this version does not have
        return False


def _named(network: Any, wanted: str | Mapping[str, Any]) -> str:  # noqa: ANN401
    """The class of a network, with those arguments that the table names."""
    if isinstance(network, str):
        return network.rpartition(".")[2]
    if not isinstance(network, Mapping) or "class_path" not in network:
        return _UNKNOWN
    keys = wanted.get("init_args", {}) if isinstance(wanted, Mapping) else {}
    given = network.get("init_args") or {}
    shown = ", ".join(f"{key}={given[key]}" for key in keys if key in given)
    return _named(network["class_path"], wanted) + (f"({shown})" if shown else "")


def check_matches(
    table: PaperTable, runs: Mapping[str, Mapping[str, Any]], *, loose: bool
) -> dict[str, list[Mismatch]]:
    """What the columns of a table do not match, if that may be.

    Args:
        table: The table, with its columns found among the runs.
        runs: What each run is, by name, as `mismatches` takes it.
        loose: Whether another network and other epochs may be.

    Raises:
        ConfigError: If no run is a column, a run is on other data, or, unless ``loose``, of another
            network or other epochs.
    """
    title = table.content["title"]
    if not table.columns:
        named = ", ".join(f"{name} ({_named(run['model'], '')})" for name, run in runs.items())
        raise ConfigError(
            f"Expected a column of {title} ({', '.join(table.content['columns'])}), but got "
            f"{named}. Name a run of one of these defenses, or --suite instead of --table."
        )
    column_of = {name: column for column, name in table.columns.items()}
    found = {
        name: mismatches(table.content, column_of.get(name), run) for name, run in runs.items()
    }
    refused = {
        name: kept
        for name, differing in found.items()
        if (kept := [m for m in differing if m.key == "data" or not loose])
    }
    if refused:
        raise ConfigError(_refusal(title, refused))
    return {column: found[name] for column, name in table.columns.items() if found[name]}


def _refusal(title: str, refused: Mapping[str, Sequence[Mismatch]]) -> str:
    name, differing = next(iter(refused.items()))
    others = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    on_other_data = any(m.key == "data" for kept in refused.values() for m in kept)
    what = "Name runs on its data" if on_other_data else "--loose shows such runs all the same"
    listed = "; ".join(map(str, differing))
    return f"Expected runs as in {title}, but got {name}{others} with {listed}. {what}."


def heading(found: Mapping[str, Sequence[Mismatch]]) -> str:
    """``does not match: network, epochs``, of all that some column does not match; else empty."""
    keys = {mismatch.key for differing in found.values() for mismatch in differing}
    listed = ", ".join(key for key in FACTS if key in keys)
    return f"does not match: {listed}" if listed else ""


def mismatch_notes(table: Mapping[str, Any], found: Mapping[str, Sequence[Mismatch]]) -> list[str]:
    """What each column does not match, and what the table does not say.

    Args:
        table: Content of a file of ``papers/*/tables``.
        found: Mismatches by column.
    """
    columns: dict[str, list[str]] = {}
    for column, differing in found.items():
        if differing:
            columns.setdefault("; ".join(map(str, differing)), []).append(column)
    notes = [f"{', '.join(names)}: does not match: {text}." for text, names in columns.items()]
    unsaid = [key for key in FACTS if not _is_said(table, key)]
    if unsaid:
        notes.append(f"Not compared, since the table does not say it: {', '.join(unsaid)}.")
    return notes


def _is_said(table: Mapping[str, Any], key: str) -> bool:
    if key in table:
        return True
    columns = table["columns"].values()
    if key == "network":
        return all("network" in {**c, **c.get("init_args", {})} for c in columns)
    return key == "epochs" and all(key in column for column in columns)
