"""A sweep shows a live table while it runs, or in a pipe one line for each change."""

from types import TracebackType
from typing import final

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from robust.io.names import short_names
from robust.sweep.driver import Driver
from robust.sweep.summary import Summary, measured, shown
from robust.sweep.trials import Trial

_ENDED = ("finished", "stopped", "failed")


@final
class Display:
    """Shows a sweep and keeps its ``sweep.json`` up to date, whenever it is called with the driver.

    Args:
        console: Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        # Without its thread, because the driver starts processes.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._said: dict[str, str] = {}

    def __enter__(self) -> "Display":
        """Begin the live table."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it."""
        self._live.stop()

    def __call__(self, driver: Driver) -> None:
        """Show what changed."""
        states = {trial.id: trial.state for trial in driver.trials}
        if states != self._said:
            if not self._console.is_terminal:
                self._say_changes(driver)
            self._said = dict(states)
            summarize(driver).write(driver.folder)
        if self._console.is_terminal:
            self._live.update(_table(driver), refresh=True)

    def _say_changes(self, driver: Driver) -> None:
        for trial in driver.trials:
            if self._said.get(trial.id) != trial.state:
                parameters, metric, _, minutes, slot = _cells(driver, trial)
                line = f"{trial.id} {trial.state}: {parameters}"
                if trial.state == "running":
                    line += f", slot {slot}" if slot else ", another driver"
                else:
                    line += f", {driver.file.metric} {metric}, {minutes} minutes"
                line += f": {trial.message}" if trial.message else ""
                self._console.print(line, highlight=False, soft_wrap=True, markup=False)


def summarize(driver: Driver) -> Summary:
    """Return a summary of the sweep so far."""
    trials = driver.trials
    return Summary.from_trials(
        driver.file, trials, {trial.id: driver.history(trial) for trial in trials}
    )


def _table(driver: Driver) -> Table:
    """Return a table, running runs first, then the latest; a terminal may have few lines."""
    count = driver.settings.count
    ended = sum(trial.state in _ENDED for trial in driver.trials)
    table = Table(
        title=f"Sweep {driver.file.name}: {ended} {f'of {count} ' if count else ''}runs ended, "
        f"{_left(driver)}. Ctrl-C ends it; the same command goes on.",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in ("run", "state", "parameters", driver.file.metric, "epoch", "minutes", "slot"):
        table.add_column(name, overflow="fold")
    order = sorted(driver.trials, key=lambda trial: (trial.id in driver.live, trial.id))
    for trial in reversed(order):
        *cells, slot = _cells(driver, trial)
        where = "another driver" if trial.state == "running" else trial.message
        table.add_row(trial.id, trial.state, *cells, slot or where)
    return table


def _left(driver: Driver) -> str:
    """Return how long the rest takes if each run takes as long as those that have ended."""
    ended = [trial.seconds for trial in driver.trials if trial.state in _ENDED]
    if not ended or driver.settings.count is None:
        return "time left not known yet"
    each, running = sum(ended) / len(ended), [process.seconds for process in driver.live.values()]
    others = driver.settings.count - len(ended) - len(running)
    work = max(0, others) * each + sum(max(0.0, each - seconds) for seconds in running)
    return f"about {work / max(1, len(driver.settings.slots)) / 60:.1f} minutes left"


def _cells(driver: Driver, trial: Trial) -> tuple[str, str, str, str, str]:
    """Return parameters, last value of the metric, epochs, minutes, and the slot while it runs."""
    names = short_names(list(trial.parameters))
    values = (shown(value, key) for key, value in trial.parameters.items())
    metric = driver.file.metric
    last = _last(driver, trial, metric)
    epoch = _last(driver, trial, "epoch", but="test/")  # whose epoch is one more
    is_running = trial.state == "running"
    process = driver.live.get(trial.id)
    seconds = trial.seconds + (process.seconds if process is not None else 0)
    return (
        ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True)),
        "none yet" if last is None and is_running else measured(metric, last),
        ("none yet" if is_running else "none") if epoch is None else f"{epoch + 1:.0f}",
        f"{seconds / 60:.1f}",
        process.slot.name if process is not None else "",
    )


def _last(driver: Driver, trial: Trial, key: str, but: str | None = None) -> float | None:
    """Return the last value of a metric, but of no row with a metric that begins so."""
    rows = (row for row in reversed(driver.history(trial)) if key in row)
    return next((r[key] for r in rows if not but or not any(k.startswith(but) for k in r)), None)
