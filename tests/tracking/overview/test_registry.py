"""The best version of a trained run, among its own and in the registry, on a stand-in server."""

import sys

import pytest
import wandb

from robust.errors import ConfigError
from robust.tracking import Run, log_run, log_verdict, loggers
from robust.tracking.overview.registry import check_collection, collection_path, scores_of
from tests.support.wandb_server import Server, forget_wandb

ADAPTIVE = "val/worst_robust_acc/adaptive"
pytestmark = [
    # The client leaves its sockets to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    forget_wandb(monkeypatch)
    for key in ("WANDB_DATA_DIR", "ROBUST_RUN_ID"):
        monkeypatch.setenv(key, "")  # so that what the code sets is undone
        monkeypatch.delenv(key)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield
    wandb.finish()
    wandb.teardown()


@pytest.fixture
def server(machine, tmp_path, monkeypatch):
    with Server(tmp_path / "server") as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        yield server
        wandb.finish()
        wandb.teardown()


def trained(run_id, accuracy, **arguments):
    """Log a run as a training leaves it."""
    run = Run(name="toy", id=run_id, project="p", **arguments).settled("unused")
    made = loggers(run)
    made[0].log_metrics({ADAPTIVE: accuracy}, step=1)
    made[0].save()
    (run.folder / "config.yaml").write_text(f"seed_everything: {accuracy}\n")
    log_run(made, run)
    wandb.finish()


def test_best_of_the_registry(server, capfd):
    for run_id, accuracy in (("a", 0.2), ("b", 0.4), ("c", 0.3)):
        trained(run_id, accuracy, register="digits")
    links = server.state.links["wandb-registry-model", "digits"]
    linked = [server.state.artifacts[link["artifact"]]["collection"] for link in links]
    assert linked == ["toy-a", "toy-b", "toy-c"]
    assert [sorted(link["aliases"]) for link in links] == [[], ["best"], ["latest"]]
    said = [x for x in capfd.readouterr().out.splitlines() if x.startswith("Registered")]
    path = "Registered: wandb-registry-model/digits"
    assert said == [f"{path}, the best there", f"{path}, the best there", path]


def test_best_version_of_a_run(server):
    for accuracy in (0.2, 0.4, 0.3):
        trained("a", accuracy)
    aliases = [sorted(made["aliases"]) for made in server.state.artifacts.values()]
    assert aliases == [[], ["best"], ["latest"]]


def test_registry_that_says_no_is_one_line(server, capfd, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("not for you\nsecond line")

    monkeypatch.setattr(wandb.Run, "link_artifact", refuse)
    trained("a", 0.5, register="mine/digits")
    said = capfd.readouterr().err
    assert "W&B links nothing to wandb-registry-mine/digits: not for you.\n" in said
    assert "second line" not in said


def test_nothing_is_registered_offline(machine, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    trained("a", 0.5, register="digits")
    assert "links nothing to wandb-registry-model/digits offline" in capfd.readouterr().err


def test_verdict_of_a_later_test_replaces_the_earlier(server):
    run = Run(name="toy", id="a", project="p", tags=["mine"]).settled("unused")
    made = loggers(run)
    log_verdict(made, "masked", "87 % deployed, 3 % adaptive", ["masked", "sign: views differ"])
    log_verdict(made, "not robust", "3 % left", ["not robust"])
    wandb.finish()
    seen = server.run("a")
    assert seen["tags"] == ["mine", "not robust"]
    told = seen["summary"]["verdict"], seen["summary"]["verdict_reason"]
    assert told == ("not robust", "3 % left")


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "/a", "a/", "x:v0", "x" * 101])
def test_names_that_no_registry_has(name):
    with pytest.raises(ConfigError, match=r"`run\.register` to be NAME or REGISTRY/NAME"):
        check_collection(name)
    with pytest.raises(ConfigError, match=r"--run\.register"):
        Run(register=name)


def test_path_of_a_collection():
    assert collection_path("digits") == "wandb-registry-model/digits"
    assert collection_path("mine/digits") == "wandb-registry-mine/digits"


def test_scores_are_the_last_ones():
    history = [{"step": 1, ADAPTIVE: 0.1}, {"step": 2, ADAPTIVE: 0.3, "val/loss": 2.0}]
    assert scores_of(history) == {ADAPTIVE: 0.3}
