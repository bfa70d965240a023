"""Checkpoints that were damaged or edited, that diverged, or that were never trained."""

import copy
import os
import shutil

import pytest
import torch

from robust.checkpoints import (
    CHECKSUMS,
    DESCRIPTION,
    UNTRAINED,
    check_finite,
    furthest_checkpoint,
    notes_of,
    read_checkpoint,
)
from robust.commands.evaluate import evaluate
from robust.commands.train import train
from robust.errors import ConfigError
from robust.tracking import AtomicCheckpoints
from tests.support.tiny import arguments

pytestmark = pytest.mark.usefixtures("quiet")


def content():
    generator = torch.Generator().manual_seed(0)
    weights = {
        "a.weight": torch.randn(20, 30, generator=generator),
        "a.count": torch.tensor(3),
        "b.mask": torch.tensor([True, False]),
        "c.empty": torch.empty(0),
        "d.half": torch.ones(2, 2, dtype=torch.bfloat16).t(),
    }
    return {
        "state_dict": weights,
        DESCRIPTION: {"model": {"class_path": "x", "init_args": {"t": 1.5, "n": None}}, "data": {}},
        "global_step": 7,
        "optimizer_states": [{"state": {0: {"m": torch.zeros(3)}}, "betas": (0.9, 0.999)}],
    }


def saved(path, checkpoint=None):
    AtomicCheckpoints().save_checkpoint(checkpoint or content(), path)
    return path


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    back = read_checkpoint(saved(tmp_path / "x.ckpt"))
    assert list(back) == [*content(), CHECKSUMS]
    assert notes_of(back) == []
    assert os.listdir(tmp_path) == ["x.ckpt"]


def test_a_flipped_bit_of_a_weight_is_named(tmp_path):
    path = saved(tmp_path / "x.ckpt")
    original = path.read_bytes()
    start = original.index(content()["state_dict"]["a.weight"].numpy().tobytes())
    for place, bit in ((0, 0), (3, 6), (1200, 3), (2399, 7)):
        damaged = bytearray(original)
        damaged[start + place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"checksum of a\.weight does not match"):
            read_checkpoint(path)


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(tmp_path):
    path = saved(tmp_path / "x.ckpt")
    original = path.read_bytes()
    reference = read_checkpoint(path)
    for place in range(0, len(original), 61):
        damaged = bytearray(original)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_checkpoint(path)
        except ConfigError:
            continue
        for name, value in reference["state_dict"].items():
            assert torch.equal(found["state_dict"][name], value)
        assert found[DESCRIPTION] == reference[DESCRIPTION]
        assert found["global_step"] == 7


EDITS = {
    "weight": lambda c: c["state_dict"]["a.weight"].add_(1),
    "shape": lambda c: c["state_dict"].update({"a.weight": c["state_dict"]["a.weight"].t()}),
    "gone": lambda c: c["state_dict"].pop("a.count"),
    "more": lambda c: c["state_dict"].update(more=torch.ones(1)),
    "type": lambda c: c["state_dict"].update({"a.count": torch.tensor(3.0)}),
    "class": lambda c: c[DESCRIPTION]["model"].update(class_path="y"),
    "argument": lambda c: c[DESCRIPTION]["model"]["init_args"].update(t=1.25),
    "description": lambda c: c.pop(DESCRIPTION),
    "steps": lambda c: c.update(global_step=8),
    "optimizer": lambda c: c["optimizer_states"][0]["state"][0]["m"].add_(1),
    "checksums": lambda c: c.update({CHECKSUMS: None}),
    "checksum": lambda c: c.update({CHECKSUMS: {"state_dict": 3}}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found(tmp_path, edit):
    path = saved(tmp_path / "x.ckpt")
    changed = read_checkpoint(path)
    EDITS[edit](changed)
    torch.save(changed, path)
    with pytest.raises(ConfigError, match="does not match"):
        read_checkpoint(path)


def test_what_a_training_needs_may_be_taken_out(tmp_path):
    path = saved(tmp_path / "x.ckpt")
    smaller = read_checkpoint(path)
    del smaller["optimizer_states"]
    torch.save(smaller, path)
    assert notes_of(read_checkpoint(path)) == []


def test_a_checkpoint_of_before_is_read_and_marked(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save(content(), path)
    (note,) = notes_of(read_checkpoint(path))
    assert note.startswith("unchecked: ")
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(content()["state_dict"]["a.weight"].numpy().tobytes()) + 5] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(ConfigError, match="does not match"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value):
    weights = content()["state_dict"]
    check_finite(weights, "x")
    weights["a.weight"][3, 4] = value
    with pytest.raises(ConfigError, match=r"finite weights in x, but 1 of 600 values of a\.weight"):
        check_finite(weights, "x")


@pytest.mark.parametrize("kind", ["pipe", "folder", "empty", "text", "loose"])
def test_what_is_no_checkpoint_is_one_line(tmp_path, kind):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    path = folder / "x.ckpt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loose":
        torch.save({"state_dict": [1]}, path)
    else:
        path.write_text("" if kind == "empty" else "weights")
    with pytest.raises(ConfigError, match="Expected"):
        read_checkpoint(path)
    with pytest.raises(ConfigError, match="Expected"):
        furthest_checkpoint(tmp_path)


def test_a_link_in_the_place_of_a_checkpoint_is_replaced(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "checkpoints").mkdir()
    for name in ("last.ckpt", "last.ckpt.new"):
        (tmp_path / "checkpoints" / name).symlink_to(tmp_path / "mine")
    saved(tmp_path / "checkpoints" / "last.ckpt")
    assert (tmp_path / "mine").read_text() == "mine"
    read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    (tmp_path / "other").symlink_to("checkpoints")
    with pytest.raises(ConfigError, match="symbolic link"):
        saved(tmp_path / "other" / "last.ckpt")


def run_of(trained, folder, change=None):
    """A copy of a trained run whose checkpoint was changed and written again."""
    run = folder / "runs" / "standard" / "a"
    shutil.copytree(trained["standard"], run)
    path = run / "checkpoints" / "last.ckpt"
    if change is not None:
        checkpoint = copy.deepcopy(read_checkpoint(path))
        change(checkpoint)
        AtomicCheckpoints().save_checkpoint(checkpoint, path)
    return run, path


def test_evaluate_refuses_a_flipped_bit(trained, suite, tmp_path, capsys):
    run, path = run_of(trained, tmp_path)
    damaged = bytearray(path.read_bytes())
    weight = read_checkpoint(path)["state_dict"]["network.layers.1.weight"]
    damaged[damaged.index(weight.numpy().tobytes()) + 3] ^= 64
    path.write_bytes(damaged)
    assert evaluate([str(run), "--suite", str(suite)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "checksum of network.layers.1.weight does not match" in line


def test_evaluate_refuses_weights_that_are_not_finite(trained, suite, tmp_path, capsys):
    def diverge(checkpoint):
        checkpoint["state_dict"]["network.layers.1.weight"][0, 0] = torch.inf

    run, _ = run_of(trained, tmp_path, diverge)
    assert evaluate([str(run), "--suite", str(suite)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: Expected finite weights in" in line


def test_evaluate_marks_what_is_unchecked_and_untrained(trained, suite, tmp_path, capsys):
    run, path = run_of(trained, tmp_path)
    checkpoint = read_checkpoint(path)
    del checkpoint[CHECKSUMS]
    checkpoint["global_step"] = 0
    torch.save(checkpoint, path)
    assert evaluate([str(run), "--suite", str(suite)]) == 0
    out = capsys.readouterr().out
    assert f"standard/a: {UNTRAINED}" in out
    assert "standard/a: unchecked: its checkpoint has no checksums" in out
    page = tmp_path / "page.html"
    assert evaluate(["--report", str(run), "-o", str(page)]) == 0
    assert UNTRAINED in page.read_text()
    assert "unchecked: its checkpoint" in page.read_text()


def test_a_training_without_a_step_warns(npz, suite, tmp_path, capsys):
    args = arguments(npz, tmp_path / "runs", suite, "Standard", epochs=0)
    args.append("--evaluation.limit=8")
    assert train([*args, "--run.id=a"]) == 0
    assert f"standard/a: {UNTRAINED}" in capsys.readouterr().out


def test_a_training_that_diverges_ends_in_one_line_and_keeps_what_it_has(
    npz, suite, tmp_path, capsys
):
    args = arguments(npz, tmp_path / "runs", suite, "Standard", epochs=2)
    optimizer = ["--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=1e38"]
    assert train([*args, "--run.id=a", *optimizer]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "Expected finite weights in the trained network" in errors[0]
    kept = tmp_path / "runs" / "standard" / "a" / "checkpoints" / "last.ckpt"
    assert read_checkpoint(kept)["epoch"] == 1
    assert train([*args, "--run.id=a", "--run.resume=auto", *optimizer]) == 2
    assert "Expected finite weights" in capsys.readouterr().err
