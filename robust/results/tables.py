"""Tables compare runs with each other, and our numbers with those of a paper."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from robust.errors import ConfigError, nearest
from robust.results.cells import Cell, Content, Grid, Shares, Stack, Value, stack
from robust.results.evidence.signs_table import signs_grids, signs_notes
from robust.results.evidence.tables import (
    unasked_notes,
    unit_test_cell,
    unit_test_name,
    unit_test_notes,
)
from robust.results.folding import SECOND_LINES, by_attack
from robust.results.metrics import (
    Rate,
    clean_accuracy,
    dropped,
    resistance,
    robust_accuracy,
    success_rate,
    ties,
    worst_robust_accuracy,
)
from robust.results.records import AttackInfo, Evaluation
from robust.results.rows import Row
from robust.results.verdict import STYLES, Verdict, verdict
from robust.results.verdict import notes as weak_attacks

MEASURED = "robustness"
"""The ``metric`` of tables of a measurement, `RobustnessMetrics`, instead of attacks."""
MEASURES = ("accuracy", "robustness", "distance", "sensitivity")
"""What a row of them may name as its ``measure``, entries of `robust.measures.measured_tables`."""

Metric = Callable[[Sequence[Row], AttackInfo], Rate]
"""A rate of the rows of one attack through one view."""


def comparison(
    evaluations: Mapping[str, Evaluation],
    at: str = "",
    verdicts: Mapping[str, Verdict] | None = None,
) -> Grid:
    """Return a table of runs by attacks, whose cells have the success rate through every view.

    Args:
        evaluations: Records by the names of their runs, of one suite.
        at: What the title says of a suite whose threat model was changed, such as `` at L2 0.5``.
        verdicts: Those on the runs, where the caller has them.
    """
    first = next(iter(evaluations.values()))
    attacks = list(first.header.attacks)
    verdicts = verdicts or {name: verdict(found) for name, found in evaluations.items()}
    tested = any(evaluation.evidence is not None for evaluation in evaluations.values())
    column = [unit_test_name(evaluations)] * tested
    rows: list[list[Content]] = [
        [name, *_run_cells(evaluation, attacks), *([unit_test_cell(evaluation)] * tested), word]
        for name, evaluation in evaluations.items()
        for word in [verdicts[name].word]
    ]
    return Grid(
        f"Attack success in %, suite {first.header.suite}{at}, {first.header.data}",
        ["run", "view", "clean acc", *attacks, "robust acc", *column, "verdict"],
        rows,
        [
            *(f"{name}: {found}." for name, found in verdicts.items()),
            *(f"{n}: {note}." for n, e in evaluations.items() for note in weak_attacks(e)),
            *signs_notes(evaluations),
            *unit_test_notes(evaluations),
            *unasked_notes(evaluations),
            *_notes(evaluations),
            *_tie_notes(evaluations),
            *_dropped_notes(evaluations),
            *_protocol_notes(evaluations),
        ],
        below=signs_grids(evaluations),
        styles=STYLES,
        fold=partial(by_attack, last=1),
    )


def paper_table(
    table: Mapping[str, Any],
    columns: Mapping[str, Evaluation],
    transferred: Mapping[str, Mapping[str, Evaluation]] | None = None,
    adaptive: Mapping[str, Evaluation] | None = None,
) -> Grid:
    """Return a table of a paper beside our numbers, under its attack and through another view.

    A row may name the column that its attack is ``crafted_on``, and attacks of another suite that
    its ``adaptive`` number is the worst of. A number that is null was lost.

    Args:
        table: Content of a file of ``papers/*/tables``. Its ``metric`` is ``attack success`` (of
            the attacked images), ``attack success over all images``, ``robust accuracy`` or
            ``resistance``. Its ``view`` is that of the paper's attacker (default ``deployed``).
            Its ``beside`` is the other one to show (default ``adaptive``). With a ``draw``, each
            so many images are also counted on their own.
        columns: Records by the table's columns; a column without any shows the paper's numbers.
        transferred: Records of attacks crafted on another column, by that one and the attacked.
        adaptive: Records of the table's ``adaptive_suite`` by column.

    Raises:
        ConfigError: If the metric is none of these.
    """
    if table["metric"] not in _METRICS:
        raise ConfigError(
            f"Expected the `metric` of {table['title']} to be one of {', '.join(_METRICS)}, but "
            f"got {table['metric']!r}.{nearest(table['metric'], _METRICS)}"
        )
    view, beside = _views(table)
    records = _Records(columns, transferred or {}, adaptive or {})
    header = ["attack", "model", "paper", "ours, paper's attack", "difference"]
    header += [f"ours, {beside}"] * (view != beside)
    rows = [*_clean_rows(table, columns), *_attack_rows(table, records)]
    return Grid(
        f"{table['title']} ({table['metric']}, %)",
        header,
        [[*row, ""][: len(header)] for row in rows],
        [
            *_view_notes(table, view),
            *_protocol_notes(columns),
            *_notes(columns),
            *_adaptive_notes(table, records.adaptive),
            *_part_notes(table),
        ],
    )


class _Records(NamedTuple):
    columns: Mapping[str, Evaluation]
    transferred: Mapping[str, Mapping[str, Evaluation]]
    adaptive: Mapping[str, Evaluation]

    def attacked(
        self, row: Mapping[str, Any], column: str, view: str
    ) -> tuple[Evaluation | None, str]:
        """Return the records of a row's own attack, and the view that it saw."""
        source = row.get("crafted_on")
        if source in (None, column):
            return self.columns.get(column), view
        return self.transferred.get(source, {}).get(column), "transfer"

    def beside(self, row: Mapping[str, Any], column: str, view: str, metric: Metric) -> Rate:
        """Return the other number of a row, through another view or of other attacks."""
        if "adaptive" in row:
            return _worst(self.adaptive.get(column), row["adaptive"])
        return _measured(self.columns.get(column), row["attack"], view, metric)


def _views(table: Mapping[str, Any]) -> tuple[str, str]:
    """Return the view of the paper's attacker, and the other one that is shown."""
    return table.get("view", "deployed"), table.get("beside", "adaptive")


def _all_images(rows: Sequence[Row], info: AttackInfo) -> Rate:
    return Rate(success_rate(rows, info).hits, len(rows))


_METRICS = {
    "attack success": success_rate,
    "attack success over all images": _all_images,
    "robust accuracy": robust_accuracy,
    "resistance": resistance,
}


def _clean_rows(table: Mapping[str, Any], columns: Mapping[str, Evaluation]) -> list[list[Content]]:
    rows: list[list[Content]] = []
    for column in table["columns"]:
        evaluation, rate = columns.get(column), None
        if evaluation is not None:
            view, attack = evaluation.views[0], next(iter(evaluation.header.attacks))
            rate = clean_accuracy(evaluation.select(view, attack))
        cells = _compared(table["clean_acc"].get(column), rate, absent="not given")
        rows.append(["clean accuracy", column, *cells])
    return rows


def _attack_rows(table: Mapping[str, Any], records: _Records) -> Iterator[list[Content]]:
    view, beside = _views(table)
    metric, size = _METRICS[table["metric"]], table.get("draw")
    for name, row in table["rows"].items():
        attack = row["attack"]
        for column, number in row["published"].items():
            found, seen = records.attacked(row, column, view)
            paper, ours, difference = _compared(number, _measured(found, attack, seen, metric))
            other = records.beside(row, column, beside, metric)
            yield [
                name,
                column,
                paper,
                _with_parts(ours, _parts(found, attack, seen, metric, size)),
                difference,
                _with_parts(
                    Cell.from_rate(other) if other.n else "",
                    _parts(found, attack, beside, metric, size),
                ),
            ]


def _measured(evaluation: Evaluation | None, attack: str, view: str, metric: Metric) -> Rate:
    if evaluation is None or attack not in evaluation.header.attacks:
        return Rate(0, 0)
    return metric(evaluation.select(view, attack), evaluation.header.attacks[attack])


def _worst(evaluation: Evaluation | None, attacks: Sequence[str]) -> Rate:
    """Return the robust accuracy under the worst of some attacks for each image, adaptive."""
    if evaluation is None:
        return Rate(0, 0)
    infos = {name: evaluation.header.attacks[name] for name in attacks}
    named = Evaluation(replace(evaluation.header, attacks=infos), evaluation.rows)
    return worst_robust_accuracy(named, "adaptive")


def _compared(number: float | int | None, rate: Rate | None, absent: str = "lost") -> list[Value]:
    """Return the number of the paper, ours and the difference."""
    paper = absent if number is None else f"{number:g}"
    if rate is None or not rate.n:
        return [paper, "not run", ""]
    difference = "" if number is None else f"{100 * rate.value - number:+.2f}"
    return [paper, Cell.from_rate(rate), difference]


def _parts(
    evaluation: Evaluation | None, attack: str, view: str, metric: Metric, size: int | None
) -> Shares | None:
    """Return the rate of each ``size`` samples; None if there are fewer than two such parts."""
    if evaluation is None or size is None:
        return None
    rows = evaluation.select(view, attack)
    parts = rows["index"] // size
    numbers = np.unique(parts)
    if len(numbers) < 2:
        return None
    info = evaluation.header.attacks[attack]
    return Shares(tuple(metric(rows.where(parts == number), info).value for number in numbers))


def _with_parts(value: Value, parts: Shares | None) -> Content:
    return value if parts is None else Stack((value, parts))


def _run_cells(evaluation: Evaluation, attacks: Sequence[str]) -> list[Stack]:
    views = evaluation.views
    clean = clean_accuracy(evaluation.select(views[0], attacks[0]))
    columns = [[_rate(evaluation, view, name) for view in views] for name in attacks]
    worst = [worst_robust_accuracy(evaluation, view) for view in views]
    # A rate and its interval take two lines, so a view does too.
    names = Stack(tuple(f"{view}\n" for view in views))
    return [names, *(stack(*rates) for rates in ([clean], *columns, worst))]


def _rate(evaluation: Evaluation, view: str, attack: str) -> Rate:
    return success_rate(evaluation.select(view, attack), evaluation.header.attacks[attack])


def _protocol_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    if not evaluations:
        return []
    first = next(iter(evaluations.values()))
    counts = sorted({len(np.unique(e.rows["index"])) for e in evaluations.values()})
    budgets = ", ".join(
        f"{name} {info.budget}{_goal(info)}" for name, info in first.header.attacks.items()
    )
    images = {"test": "test images", "train": "random training images"}[first.header.split]
    return [
        f"n = {' to '.join(map(str, counts))} {images}, seed {first.header.seed}. Success: "
        "share of the correctly classified images (targeted: of other classes) on which the attack "
        "succeeds.",
        "robust acc: correct under every attack, per image. "
        f"{SECOND_LINES}: 95 % Wilson intervals.",
        f"Threat models: {budgets}.",
    ]


def _view_notes(table: Mapping[str, Any], view: str) -> list[str]:
    """Return which view the paper's attacker saw, where all rows have one."""
    if any("crafted_on" in row for row in table["rows"].values()):
        return []
    return [f"ours, paper's attack: through the view {view}."]


def _part_notes(table: Mapping[str, Any]) -> list[str]:
    size = table.get("draw")
    return [] if size is None else [f"Third lines: each {size} images on their own."]


def _adaptive_notes(table: Mapping[str, Any], adaptive: Mapping[str, Evaluation]) -> list[str]:
    """Return of which attacks the adaptive numbers are the worst, if they have their own suite."""
    if not adaptive:
        return []
    header = next(iter(adaptive.values())).header
    rows: dict[str, list[str]] = {}
    for name, row in table["rows"].items():
        if "adaptive" in row:
            attacks = [f"{a} ({header.attacks[a].budget})" for a in row["adaptive"]]
            rows.setdefault(", ".join(attacks), []).append(name)
    worst = "; ".join(f"{attacks} beside {', '.join(names)}" for attacks, names in rows.items())
    return [f"adaptive: correct under the worst for each image, white box, of {worst}."]


def _goal(info: AttackInfo) -> str:
    if info.target is None:
        return ""
    return " to a random class" if info.target == "random" else f" to class {info.target}"


def _notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    return [f"{name}: {note}" for name, found in evaluations.items() for note in found.notes]


def _dropped_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """Return which attacks gave up images before their last steps, as these count as robust."""
    return [
        f"{run}: {name} dropped {rate.hits} of {rate.n} images ({view}) before its last steps, as "
        "nothing promised a success; they count as robust. `--suite standard` attacks them."
        for run, evaluation in evaluations.items()
        for view in evaluation.views
        for name in evaluation.header.attacks
        if (rate := dropped(evaluation.select(view, name))).hits
    ]


def _tie_notes(evaluations: Mapping[str, Evaluation]) -> list[str]:
    notes = []
    for name, evaluation in evaluations.items():
        view, attack = evaluation.views[0], next(iter(evaluation.header.attacks))
        rate = ties(evaluation.select(view, attack))
        if rate.hits:
            notes.append(
                f"{name}: the two best scores of {rate.hits} of {rate.n} clean images are exactly "
                "equal in float32; the first of them counts as the prediction."
            )
    return notes
