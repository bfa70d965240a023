"""Files from before modules moved: their class paths are understood."""

import importlib
import importlib.util

import pytest
from torch import nn

from robust.attacks import PGD
from robust.checkpoints import read_checkpoint
from robust.defenses import WNLL, Standard
from robust.loading import moved
from robust.loading.class_paths import imported
from robust.loading.classes import imported_kind, kind_in_source
from robust.loading.parsing.parser import Parser
from robust.loading.restore import restore
from robust.loading.suites import read_suite
from robust.loading.trained_run import describe


@pytest.mark.parametrize("old", moved.MOVED)
def test_every_module_is_where_it_is_said_to_be(old):
    new = importlib.import_module(moved.MOVED[old])
    kinds = [kind for kind in vars(new).values() if isinstance(kind, type)]
    own = [kind.__name__ for kind in kinds if kind.__module__ == new.__name__]
    name = next(name for name in own if name[0] != "_")
    assert imported(f"{old}.{name}") is getattr(new, name)


def test_a_class_that_did_not_move_keeps_its_path():
    for path in ("robust.attacks.PGD", "robust.attacks.gradient.pgd.PGD", "pgd", "a.b", ""):
        assert moved.current(path) == path


def test_what_is_known_of_a_class_is_that_of_today():
    for known in (imported_kind, kind_in_source):
        assert known("robust.defenses.wnll.WNLL").name == f"{WNLL.__module__}.WNLL"


def test_values_are_updated_at_any_depth_and_once():
    shared = ["robust.attacks.pgd.PGD", 8]
    content = {"a": shared, "b": {"class_path": "robust.draws.RandomStreams", "c": shared}}
    content["self"] = content
    assert moved.update(content) is content
    assert shared == ["robust.attacks.gradient.pgd.PGD", 8]
    assert content["b"]["class_path"] == "robust.random_streams.RandomStreams"


def test_a_suite_with_an_earlier_path(tmp_path):
    path = tmp_path / "suite.yaml"
    attack = "{class_path: robust.attacks.pgd.PGD, init_args: {eps: 0.1}}"
    path.write_text(f"threat_model: {{norm: Linf, eps: 0.1}}\nattacks: {{pgd: {attack}}}\n")
    assert isinstance(read_suite(path).attacks["pgd"](nn.Flatten()), PGD)


@pytest.mark.parametrize("value", ["{}", "{{class_path: {}}}"])
def test_a_config_with_an_earlier_path(value, monkeypatch, tmp_path):
    monkeypatch.setitem(moved.MOVED, "robust.networks.perceptron", "robust.networks.mlp")
    path = tmp_path / "config.yaml"
    path.write_text(f"network: {value.format('robust.networks.perceptron.MLP')}\n")
    parser = Parser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(nn.Module, "network")
    assert parser.parse_args([f"--config={path}"]).network.class_path == "robust.networks.mlp.MLP"


def test_a_checkpoint_with_earlier_paths(trained, monkeypatch):
    monkeypatch.setitem(moved.MOVED, "robust.defenses.old", Standard.__module__)
    path = trained["standard"] / "checkpoints" / "last.ckpt"
    checkpoint = read_checkpoint(path)
    checkpoint["robust"]["model"]["class_path"] = "robust.defenses.old.Standard"
    assert isinstance(restore(path, checkpoint=checkpoint).defense, Standard)
    monkeypatch.setattr("robust.loading.trained_run.read_checkpoint", lambda path: checkpoint)
    described = describe(path, {})
    assert described["model"]["class_path"] == f"{Standard.__module__}.Standard"
