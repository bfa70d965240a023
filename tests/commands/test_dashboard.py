"""The W&B workspace and report: what would be sent, and saved on a stand-in server."""

import json
import re
import warnings

import pytest
import wandb

from robust.results.metrics import summarize
from tests.support.factories import evaluation, info
from tests.support.tiny import ROOT
from tests.support.wandb_server import Server, forget_wandb

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its validators are pydantic 1's
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    import robust.commands.dashboard
    from robust.commands.dashboard import ADAPTIVE, CLEAN, specification, workspace
    from robust.commands.dashboard import dashboard as main

pytestmark = [
    pytest.mark.usefixtures("quiet"),
    # The client leaves its sockets to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def spec():
    return specification(workspace("team", "project"))


def strings(value):
    """All strings in a nested structure, keys included."""
    if isinstance(value, dict):
        return {text for item in (*value, *value.values()) for text in strings(item)}
    if isinstance(value, list):
        return {text for item in value for text in strings(item)}
    return {value} if isinstance(value, str) else set()


def test_sections_and_their_panels(spec):
    sections = spec["section"]["panelBankConfig"]["sections"]
    panels = {
        section["name"]: [panel["viewType"] for panel in section["panels"]] for section in sections
    }
    assert panels == {
        "Robust accuracy": ["Scatter Plot", "Scatter Plot", "Bar Chart", "Bar Chart"],
        "Attacks": ["Run History Line Plot"] * 2 + ["Weave"],
        "Sweeps": ["Parallel Coordinates Plot", "Parameter Importance"],
        "Training": ["Run History Line Plot"] * 3,
        "Adversarial images": ["Media Browser", "Weave"],
        "Settings": ["Run Comparer"],
    }


def test_keys_are_those_that_runs_log(spec):
    attacks = {"fgsm": info()}
    logged = summarize(
        evaluation(attacks, {(view, "fgsm"): 3 for view in ("deployed", "adaptive", "published")})
    )
    named = {text.removeprefix("summary:") for text in strings(spec)}
    for key in (ADAPTIVE, f"{ADAPTIVE}_low", f"{ADAPTIVE}_high"):
        assert key in logged
        assert key in named
    assert CLEAN in named


def test_swept_settings_are_those_of_the_sweeps(spec):
    named = {text.removeprefix("config:").replace(".value.", ".") for text in strings(spec)}
    for file in (ROOT / "sweeps").glob("*.yaml"):
        swept = [key for key in robust.commands.dashboard._SWEPT if f"{key}:" in file.read_text()]
        assert swept, f"no axis for {file.name}"
        assert set(swept) <= named


def test_dry_run_is_one_screen(spec, capsys, monkeypatch):
    monkeypatch.setattr(wandb, "login", lambda **_: pytest.fail("no account is needed"))
    assert main(["--dry-run", "--entity", "team", "--project", "project"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "to team/project" in lines[0]
    text = " ".join(" ".join(lines).split())
    for section in spec["section"]["panelBankConfig"]["sections"]:
        assert f" {section['name']}: " in text
    for shown in ("Worst case by view", "test/all", "Figures; test/examples Settings: "):
        assert shown in text
    assert "Columns of the table of runs: displayName; verdict; test/clean_acc;" in text


def test_json_is_what_would_be_saved(spec, capsys, monkeypatch):
    monkeypatch.setattr(wandb, "login", lambda **_: pytest.fail("no account is needed"))
    assert main(["--json", "--entity", "team", "--project", "project"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert strings(printed) >= {ADAPTIVE, "Robust accuracy", "summary:verdict"}


def test_no_key_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("error: Expected a W&B key, but got none.")


def test_no_server_is_one_line(capsys, monkeypatch):
    def unreachable(**_):
        raise wandb.errors.CommError("no route")

    monkeypatch.setattr(wandb, "login", unreachable)
    assert main(["--project", "p"]) == 2
    assert "Expected to save to W&B project p, but: no route" in capsys.readouterr().err


def test_saved_and_reloaded(spec, tmp_path, monkeypatch, capsys):
    forget_wandb(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Server(tmp_path / "server") as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        assert main(["--project", "project"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition(":")[0] for line in lines[:2]] == ["Workspace", "Report"]
        assert re.match(r"Each has \d+ panels in 6 sections", lines[2])
        assert len(lines) == 4
        first, second = (line.split()[1] for line in lines[:2])
        saved = specification(ws.Workspace.from_url(first))
        report = wr.Report.from_url(second)
        # The report looks whether there is such a project, and makes it if not.
        assert server.state.projects == {"project"}
        wandb.teardown()

    def names(content):
        return [section["name"] for section in content["section"]["panelBankConfig"]["sections"]]

    assert names(saved) == names(spec)
    assert [b.text for b in report.blocks if isinstance(b, wr.H2)] == names(spec)
    assert len([b for b in report.blocks if isinstance(b, wr.PanelGrid)]) == len(names(spec))
