"""A paper's table beside our numbers, with what of its setting the runs do not match."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from robust.commands.evaluate_attacks import Attacked
from robust.loading.mismatches import Mismatch, check_matches, heading, mismatch_notes
from robust.loading.paper_tables import PaperTable
from robust.loading.trained_run import TrainedRun
from robust.measures.measured_tables import published_measures
from robust.results.cells import Grid
from robust.results.published.table import paper_table


class Beside(NamedTuple):
    """A table of a paper, and what its columns do not match."""

    table: PaperTable
    differing: Mapping[str, Sequence[Mismatch]]

    @staticmethod
    def load(
        path: Path, runs: Mapping[str, TrainedRun], source: TrainedRun | None, *, loose: bool
    ) -> "Beside":
        """Read a table and find its columns among runs.

        Args:
            path: The file.
            runs: By their names.
            source: What attacks are crafted on.
            loose: Whether another network and other epochs may be.

        Raises:
            ConfigError: If there is no such table, or the runs do not fit it.
        """
        described = {
            name: {**run.described, "data_set": run.data.name, "epochs": run.epochs}
            for name, run in runs.items()
        }
        table = PaperTable.load(path, described)
        table.check_source(given=source is not None, data=source.data.name if source else None)
        return Beside(table, check_matches(table, described, loose=loose))

    @property
    def title(self) -> str:
        """The title of the table."""
        return str(self.table.content["title"])

    def grid(self, attacked: Attacked) -> Grid:
        """Return the table of attacks beside ours."""
        columns = self.table.of_columns(attacked.results)
        grid = paper_table(self.table.content, columns, attacked.transferred, attacked.adaptive)
        crafted = [] if attacked.crafted_on is None else [f"Crafted on {attacked.crafted_on}."]
        return self._noted(grid, [*crafted, *self.table.suite_notes(columns)])

    def measured(self, results: Mapping[str, Any]) -> Grid:
        """Return the table of a measurement beside ours.

        Args:
            results: What was measured, by run.
        """
        grid = published_measures(self.table.content, self.table.of_columns(results))
        return self._noted(grid, [])

    def _noted(self, grid: Grid, notes: Sequence[str]) -> Grid:
        differing, content = heading(self.differing), self.table.content
        return replace(
            grid,
            title=f"{grid.title}; {differing}" if differing else grid.title,
            notes=[
                *grid.notes,
                *mismatch_notes(content, self.differing),
                *notes,
                *self.table.notes,
            ],
        )
