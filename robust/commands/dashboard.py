"""The command `robust dashboard`: a W&B workspace and report that compare a project's runs.

Both show what the page of `evaluate.py --report` shows, from what the runs logged: robust accuracy
by view with its bounds, the adaptive worst case against clean accuracy, and the settings of sweeps.
"""

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import wandb
from wandb_workspaces import expr
from wandb_workspaces.reports.v2 import interface as wr
from wandb_workspaces.workspaces import interface as ws

from robust.commands.options.dashboard import parse
from robust.commands.process import run_command
from robust.errors import ConfigError
from robust.tracking.media import EXAMPLES
from robust.tracking.overview.summary import EVERYTHING

NAME = "Robustness"
ADAPTIVE = "test/worst_robust_acc/adaptive"
CLEAN = "test/clean_acc"
VERDICT = "verdict"
_WIDTH = 80
_VIEWS = ("deployed", "published", "transfer", "adaptive")
_SWEPT = {
    "model.init_args.temperature": "temperature",
    "model.init_args.length": "codeword length",
    "model.init_args.network.init_args.activation.init_args.t": "BReLU cutoff",
    "data.init_args.augmentation.sigma": "noise sigma",
}
"""Settings of the sweeps in ``sweeps/``."""
_CAUTION = (
    "Compare runs by the adaptive view. A robust accuracy that only another view shows says that "
    "its attacker failed. The verdict of each run is a column and a tag."
)


def dashboard(args: Sequence[str] | None = None) -> int:
    """Save the workspace and the report, and return the exit code."""
    return run_command(lambda: _main(parse(args)))


def workspace(entity: str, project: str) -> ws.Workspace:
    """The workspace, which is saved with ``save()``; building it needs no account.

    Args:
        entity: User or team.
        project: Where the runs are.
    """
    sections = [
        ws.Section(name=name, panels=panels, is_open=True) for name, panels in _panels().items()
    ]
    columns = [f"summary:{key}" for key in (VERDICT, CLEAN, *_bounds(ADAPTIVE))]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections,
        runset_settings=ws.RunsetSettings(
            order=[expr.Ordering(expr.Summary(ADAPTIVE), ascending=False)],
            pinned_columns=columns,
        ),
    )


def report(entity: str, project: str) -> wr.Report:
    """The report, which is saved with ``save()``; W&B builds it only where it has a key.

    Args:
        entity: User or team.
        project: Where the runs are.
    """
    blocks: list[Any] = [wr.P(_CAUTION), wr.TableOfContents()]
    for name, panels in _panels().items():
        runset = wr.Runset(entity=entity, project=project, name="all runs")
        blocks += [wr.H2(name), wr.PanelGrid(runsets=[runset], panels=panels)]
    return wr.Report(
        entity=entity,
        project=project,
        title=f"{NAME} of {project}",
        description=_CAUTION,
        blocks=blocks,
        width="fluid",
    )


def _panels() -> dict[str, list[Any]]:
    """Panels by section, new ones at every call, since W&B writes into them."""
    worst: list[Any] = [f"test/worst_robust_acc/{view}" for view in _VIEWS]
    swept = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), display_name=name)
        for key, name in _SWEPT.items()
    ]
    reached = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(key), display_name=name)
        for key, name in ((CLEAN, "clean accuracy"), (ADAPTIVE, "adaptive worst case"))
    ]
    return {
        "Robust accuracy": [
            wr.ScatterPlot(
                title="Clean accuracy against the adaptive worst case",
                x=wr.SummaryMetric(CLEAN),
                y=wr.SummaryMetric(ADAPTIVE),
                range_y=(0.0, 1.0),
                running_ymax=True,
            ),
            wr.ScatterPlot(
                title="What the deployed view shows against the adaptive worst case",
                x=wr.SummaryMetric(worst[0]),
                y=wr.SummaryMetric(ADAPTIVE),
                range_x=(0.0, 1.0),
                range_y=(0.0, 1.0),
            ),
            wr.BarPlot(
                title="Adaptive worst case, and the bounds of its 95 % interval",
                metrics=_bounds(ADAPTIVE),
                range_x=(0.0, 1.0),
            ),
            wr.BarPlot(title="Worst case by view", metrics=worst, range_x=(0.0, 1.0)),
        ],
        "Attacks": [
            wr.LinePlot(title=f"Success, {view} view", metric_regex=f"test/success/{view}/[^/]+$")
            for view in ("deployed", "adaptive")
        ]
        + [wr.WeavePanelSummaryTable(table_name=EVERYTHING)],
        "Sweeps": [
            wr.ParallelCoordinatesPlot(title="Settings and accuracy", columns=[*swept, *reached]),
            wr.ParameterImportancePlot(with_respect_to=ADAPTIVE),
        ],
        "Training": [
            wr.LinePlot(title=title, y=[key])
            for key, title in (
                ("train/loss", "Training loss"),
                ("val/loss", "Validation loss"),
                ("val/clean_acc", "Validation accuracy"),
            )
        ],
        "Adversarial images": [
            wr.MediaBrowser(title="Figures", media_keys=["figures/accuracy", "figures/pgd"]),
            wr.WeavePanelSummaryTable(table_name=EXAMPLES),
        ],
        "Settings": [wr.RunComparer(diff_only="split")],
    }


def _bounds(key: str) -> list[Any]:
    return [key, f"{key}_low", f"{key}_high"]


def _main(options: argparse.Namespace) -> None:
    if options.json or options.dry_run:
        built = workspace(options.entity or "entity", options.project)
        lines = json.dumps(specification(built), indent=1) if options.json else _summary(built)
        print(lines)
        return
    try:
        if not wandb.login(prompt=False, verify=False):
            raise ConfigError(
                "Expected a W&B key, but got none. Run `wandb login`, or look at the local page: "
                "python evaluate.py --report runs/."
            )
        entity = options.entity or wandb.Api().default_entity or ""
        views: list[Any] = [workspace(entity, options.project), report(entity, options.project)]
        for what, made in zip(("Workspace", "Report"), views, strict=True):
            made.save()
            print(f"{what}: {made.url}")
    except (wandb.Error, OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"Expected to save to W&B project {options.project}, but: {error}. Fix --entity, "
            "--project or the network."
        ) from error
    panels = sum(map(len, _panels().values()))
    print(f"Each has {panels} panels in {len(_panels())} sections.\n{_CAUTION}")


def _summary(built: ws.Workspace) -> str:
    """What would be saved, on one screen."""
    columns = [c.rpartition(":")[2] for c in built.runset_settings.pinned_columns]
    parts = {section.name: map(_title, section.panels) for section in built.sections}
    lines = [f"Would save the workspace and the report {NAME} to {built.entity}/{built.project}:"]
    for name, shown in {**parts, "Columns of the table of runs": columns}.items():
        lines += textwrap.wrap(
            f"{name}: {'; '.join(shown)}",
            width=_WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    return "\n".join([*lines, "--json prints all of the workspace."])


def _title(panel: Any) -> str:  # noqa: ANN401
    """Return what a panel is called: its title, its table, or its kind."""
    given = getattr(panel, "title", None) or getattr(panel, "table_name", None)
    return str(given or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(panel).__name__).capitalize())


def specification(built: ws.Workspace) -> dict[str, Any]:
    """A workspace as W&B stores it, in JSON's types."""
    spec: dict[str, Any] = built._to_model().spec.model_dump(mode="json", by_alias=True)
    return spec


if __name__ == "__main__":
    sys.exit(dashboard())
