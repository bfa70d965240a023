"""Checkpoints of plain values that expand without end, or describe what is no defense."""

from pathlib import Path

import pytest
import torch

from robust.checkpoints import CHECKSUMS, DESCRIPTION, checksums, notes_of, read_checkpoint
from robust.defenses import Standard
from robust.errors import ConfigError
from robust.loading import trust
from robust.loading.restore import check_fits, restore
from robust.loading.trained_run import describe
from tests.support.tiny import TinyNetwork

DATA = {"class_path": "robust.data.ImageDataModule", "init_args": {}}


def stored(content, *, checked=True):
    """A checkpoint with this content beside weights, with or without checksums."""
    sums = {CHECKSUMS: checksums({"state_dict": {}})} if checked else {}
    torch.save({"state_dict": {}, **content, **sums}, "x.ckpt")
    return Path("x.ckpt")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def laughs(value, levels=9):
    for _ in range(levels):
        value = [value] * 10
    return value


def cycle():
    value = []
    value.append(value)
    return value


def deep():
    value = []
    for _ in range(300):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda: laughs(0), id="aliases"),
        pytest.param(lambda: laughs("a" * 1_000_000, 4), id="aliases of a text"),
        pytest.param(lambda: laughs(torch.zeros(1_000_000), 4), id="aliases of a tensor"),
        pytest.param(cycle, id="cycle"),
        pytest.param(lambda: {"a": cycle()}, id="cycle in a mapping"),
        pytest.param(deep, id="deep"),
        pytest.param(lambda: torch.zeros(1).expand(10**12), id="a repeated number"),
        pytest.param(lambda: torch.zeros(2, device="meta"), id="no numbers"),
    ],
)
@pytest.mark.parametrize(("key", "checked"), [("state_dict", True), (DESCRIPTION, False)])
def test_what_expands_without_end_is_refused(value, checked, key):
    content = {"w": value()} if key == "state_dict" else value()
    with pytest.raises(ConfigError, match=r"Expected plain values and tensors in x\.ckpt, but got"):
        read_checkpoint(stored({key: content}, checked=checked))


def test_tied_weights_and_an_optimizer_of_many_tensors_are_not():
    weight = torch.zeros(1_000, 1_000)
    state = {i: {"exp_avg": torch.zeros(2), "step": torch.tensor(1.0)} for i in range(500)}
    content = {"state_dict": {"a": weight, "b": weight}, "optimizer_states": [{"state": state}]}
    torch.save(content, "x.ckpt")
    assert read_checkpoint("x.ckpt").keys() == content.keys()


@pytest.mark.parametrize(
    "description",
    [
        None,
        5,
        [],
        {},
        torch.zeros(2),
        {"model": 1, "data": 2},
        {"model": {}, "data": {}},
        {"model": {"class_path": 5, "init_args": {}}, "data": DATA},
        {"model": {"class_path": "robust.defenses.Standard", "init_args": None}, "data": DATA},
        {"model": {"class_path": "robust.defenses.Standard", "init_args": {5: 6}}, "data": DATA},
    ],
    ids=repr,
)
def test_a_description_of_another_form_is_refused(description):
    path = stored({DESCRIPTION: description}, checked=False)
    model = Standard(TinyNetwork())
    for read in (
        lambda: restore(path),
        lambda: describe(path, {}),
        lambda: check_fits(read_checkpoint(path), path, model, training=False),
    ):
        with pytest.raises(ConfigError, match=r"Expected x\.ckpt to say which defense it is of"):
            read()


def test_weights_that_are_no_tensors_do_not_fit():
    path = stored({"state_dict": {"network.w": 5}}, checked=False)
    with pytest.raises(ConfigError, match=r"in the checkpoint x\.ckpt"):
        check_fits(read_checkpoint(path), path, Standard(TinyNetwork()), training=False)


def test_steps_that_are_no_number_are_none():
    path = stored({"global_step": torch.zeros(2)}, checked=False)
    assert not [note for note in notes_of(read_checkpoint(path)) if "untrained" in note]


@pytest.mark.parametrize("named", ["pyproject.toml", "other.toml"])
def test_a_pyproject_names_packages_and_no_other_file(named):
    for name in ("pyproject.toml", "other.toml"):
        Path(name).write_text(f'[tool.robust]\ntrust = ["{named}"]\n')
    with pytest.raises(ConfigError, match="Expected a package such as mypackage"):
        trust.entries("pyproject.toml")
