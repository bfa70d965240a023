"""The result of an evaluation in Python has a table, its numbers, a verdict and records."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from robust.errors import ConfigError, how_to_install, nearest
from robust.io.text_files import named_path
from robust.results.cells import Cell, Grid
from robust.results.comparing.against import Against, Named
from robust.results.metrics import clean_accuracy, success_rate, worst_robust_accuracy
from robust.results.record_files import RecordFile
from robust.results.records import Evaluation
from robust.results.rows import Row
from robust.results.tables import comparison
from robust.results.verdict import Verdict, verdict


class Result:
    """A result holds what attacks found on one network, with intervals and a verdict.

    ``print(result)`` is the table that the command prints; a notebook shows it as HTML.

    Examples:
        >>> data = robust.ImageDataModule("digits")
        >>> network = robust.fit(robust.Standard(robust.MLP()), data, max_epochs=1)
        >>> result = robust.evaluate(network, data, limit=10, attacks=["fgsm", "pgd"])
        >>> result.success("pgd", view="deployed").n <= 10
        True
        >>> result.save("runs/mine").suffix
        '.csv'

    Args:
        name: What the table calls the network.
        evaluation: Its records, from which all numbers are derived.
        classes: Number of classes of the data.
        at: What the title says of a suite whose threat model was changed, such as `` at L2 0.5``.
    """

    def __init__(self, name: str, evaluation: Evaluation, classes: int, at: str = "") -> None:
        self.name, self.evaluation = name, evaluation
        self._classes, self._at = classes, at

    @property
    def verdict(self) -> Verdict:
        """It says whether the robust accuracy can be believed, and why not."""
        return verdict(self.evaluation)

    @property
    def views(self) -> list[str]:
        """These views were attacked, deployed first."""
        return self.evaluation.views

    @property
    def attacks(self) -> list[str]:
        """These are the names of the attacks."""
        return list(self.evaluation.header.attacks)

    def clean_accuracy(self) -> Cell:
        """Return the share of images that are classified correctly without an attack."""
        rows = self.evaluation.select(self.views[0], self.attacks[0])
        return Cell.from_rate(clean_accuracy(rows))

    def robust_accuracy(self, view: str = "adaptive") -> Cell:
        """Return the share of all images that are robust under every attack.

        Args:
            view: What the attacks differentiated: ``deployed``, ``published`` or ``adaptive``.

        Raises:
            ConfigError: If nothing was attacked through that view.
        """
        return Cell.from_rate(worst_robust_accuracy(self.evaluation, self._known(view)))

    def success(self, attack: str, view: str = "adaptive") -> Cell:
        """Return the share of attacked images on which an attack succeeds.

        Args:
            attack: Its name in the suite.
            view: What it differentiated.

        Raises:
            ConfigError: If there is no such attack, or no such view.
        """
        if attack not in self.attacks:
            raise ConfigError(
                f"Expected an attack of the suite ({', '.join(self.attacks)}), but got {attack!r}. "
                f"Name one of them.{nearest(attack, self.attacks)}"
            )
        rows = self.evaluation.select(self._known(view), attack)
        return Cell.from_rate(success_rate(rows, self.evaluation.header.attacks[attack]))

    def against(self, other: "Result") -> Against:
        """Return the paired comparison of this network with another one, on the same images.

        Args:
            other: Its result.

        Raises:
            ConfigError: If the images or the threat models differ.
        """
        name = other.name if other.name != self.name else f"{other.name} (other)"
        return Against(Named(self.name, self.evaluation), Named(name, other.evaluation))

    def frame(self) -> Any:  # noqa: ANN401 (of a library that need not be there)
        """Return the records as a table of pandas: a row for each view, attack and image.

        Raises:
            ConfigError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ConfigError(
                f"Expected pandas for a frame, but it is not installed. {how_to_install('pandas')}"
            ) from None
        rows = self.evaluation.rows
        return pd.DataFrame({name: rows[name] for name in Row._fields})

    def save(self, folder: str | Path) -> Path:
        """Write the records below a folder, as the command keeps them, and return their file.

        Args:
            folder: Of a run, or a new one; ``evaluate.py --report`` shows it.

        Raises:
            ConfigError: If it cannot be written.
        """
        target = named_path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"Expected a folder that can be written, but got {target} ({error.strerror}). "
                "Choose another."
            ) from None
        header, notes = self.evaluation.header, self.evaluation.notes
        file = RecordFile(target / "records", header, classes=self._classes, notes=notes)
        file.evidence = self.evaluation.evidence
        file.append(self.evaluation.rows)
        file.merge()
        return file.path

    def __str__(self) -> str:
        text = io.StringIO()
        console = Console(
            file=text, markup=False, emoji=False, force_terminal=False, force_jupyter=False
        )
        self._grid().print(console)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._grid().html()

    def _grid(self) -> Grid:
        return comparison({self.name: self.evaluation}, self._at)

    def _known(self, view: str) -> str:
        if view not in self.views:
            raise ConfigError(
                f"Expected a view that was attacked ({', '.join(self.views)}), but got {view!r}. "
                f"Name one of them, or evaluate with it in `views`.{nearest(view, self.views)}"
            )
        return view
