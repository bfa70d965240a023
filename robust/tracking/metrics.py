"""The ``metrics.csv`` of a run is complete at any time."""

import csv
import io
from pathlib import Path
from typing import Any, cast, final

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from robust.io import files


@final
class MetricsFile(CSVLogger):
    """Lightning's `CSVLogger`, whose file is replaced atomically and never written through a link.

    Lightning rewrites the complete file when a metric is new. On a full disk, or in a process that
    is killed then, half of the metrics would be lost.
    """

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the file, made on first use."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return cast(ExperimentWriter, self._experiment)


class _Writer(ExperimentWriter):
    def save(self) -> None:
        """Add what was logged since; write all if there are new columns."""
        if not self.metrics:
            return
        path = Path(self.metrics_file_path)
        is_new = not path.is_file() or path.is_symlink()
        if self._record_new_keys() or is_new:
            files.write(
                path, self._text([*([] if is_new else _rows(path)), *self.metrics], head=True)
            )
        else:
            files.append(path, self._text(self.metrics), sync=False)
        self.metrics = []

    def _text(self, rows: list[dict[str, Any]], *, head: bool = False) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys, extrasaction="ignore")
        if head:
            writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(files.read(path).decode(), newline="")))
