"""What one command has measured of its runs, as requirements name it."""

from collections.abc import Mapping, Sequence
from typing import Any

from robust.commands.evidence.gate import record_name
from robust.loading.trained_run import TrainedRun
from robust.measures.measurements import Measurement
from robust.measures.unit_test.measurement import UnitTest
from robust.results.records import Evaluation
from robust.results.requirements.measured import Measured, of_numbers, of_records


def measured_of(
    runs: Mapping[str, TrainedRun],
    results: Mapping[str, Evaluation],
    measured: Sequence[tuple[Measurement[Any], Mapping[str, Any]]],
) -> dict[str, dict[str, Measured]]:
    """Return what was measured of each run.

    Args:
        runs: By name.
        results: Records by the same names.
        measured: Each measurement with its results by the same names.
    """
    return {name: _of_run(name, run, results.get(name), measured) for name, run in runs.items()}


def _of_run(
    name: str,
    run: TrainedRun,
    result: Evaluation | None,
    measured: Sequence[tuple[Measurement[Any], Mapping[str, Any]]],
) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    attacks = {} if result is None else result.header.attacks
    for measurement, results in measured:
        if name in results:
            numbers, n = measurement.numbers(results[name]), _tested(results[name])
            found |= of_numbers(numbers, f"{measurement.name} of this command", attacks, n)
    if result is None:
        return found
    file = f"{result.header.suite}-{result.header.fingerprint}.csv"
    return of_records(result, record_name(run.folder / "records" / file)) | found


def _tested(result: Any) -> dict[str, int]:  # noqa: ANN401 (of any measurement)
    """Return on how many images each score of the attack unit test was counted."""
    if not isinstance(result, UnitTest):
        return {}
    return {
        f"test/unit_test/{view}/{name}": rate.n
        for scores in result.scores.values()
        for view, found in scores.found.items()
        for name, rate in found.items()
    }
