"""What a trainer cannot have is refused in one line, before there is a run folder."""

import re

import pytest
from jsonargparse import Namespace
from lightning.pytorch.plugins import TorchCheckpointIO

from robust.commands.train import train
from robust.errors import ConfigError
from robust.tracking import AtomicCheckpoints, check_trainer, plugins, remove_unused
from tests.support.tiny import arguments


@pytest.mark.parametrize(
    ("setting", "value", "bound"),
    [
        ("accumulate_grad_batches", 0, "at least 1, but got 0"),
        ("check_val_every_n_epoch", 0, "at least 1"),
        ("num_nodes", 0, "at least 1"),
        ("val_check_interval", 0, "above 0, but got 0"),
        ("val_check_interval", -0.5, "above 0"),
        ("gradient_clip_val", -1.0, "at least 0"),
        ("gradient_clip_val", float("nan"), "at least 0, but got nan"),
        ("limit_train_batches", -1, "at least 0"),
        ("limit_val_batches", float("inf"), "at least 0, but got inf"),
        ("log_every_n_steps", -1, "at least 0"),
        ("overfit_batches", -1, "at least 0"),
        ("max_epochs", -3, "at least -1"),
        ("max_steps", -5, "at least -1"),
        ("num_sanity_val_steps", -2, "at least -1"),
        ("devices", -2, "at least 1, or -1 for all, but got -2"),
        ("devices", "-2", "at least 1, or -1 for all, but got '-2'"),
        ("devices", 0, "at least 1, or -1 for all"),
        ("devices", [], "at least 1, or -1 for all"),
    ],
)
def test_numbers_out_of_range(setting, value, bound):
    with pytest.raises(ConfigError, match=f"`trainer.{setting}` to be {bound}"):
        check_trainer(Namespace({setting: value}))


@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_a_least_above_the_most(unit):
    with pytest.raises(ConfigError, match=f"`trainer.min_{unit}` to be at most"):
        check_trainer(Namespace({f"min_{unit}": 5, f"max_{unit}": 3}))
    check_trainer(Namespace({f"min_{unit}": 5, f"max_{unit}": -1}))


def test_what_can_be_had():
    check_trainer(
        Namespace(
            devices="auto", max_epochs=-1, limit_val_batches=0, val_check_interval="00:01:00:00"
        )
    )
    check_trainer(Namespace(devices=[0, 1], overfit_batches=0.5, log_every_n_steps=0))


def test_checkpoints_are_complete_beside_other_plugins():
    own = TorchCheckpointIO()
    assert plugins(own) == [own]
    assert [type(plugin) for plugin in plugins(None)] == [AtomicCheckpoints]
    assert [type(plugin) for plugin in plugins(["other"])] == [str, AtomicCheckpoints]


@pytest.mark.sampled(every=3)
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("precision=64-true", "32-true, 16-mixed, bf16-mixed, but got 64-true"),
        pytest.param("precision=16-true", "but got 16-true", marks=pytest.mark.slow),
        pytest.param("precision=bf16-true", "but got bf16-true", marks=pytest.mark.slow),
        ("precision=transformer-engine", "a trainer that can be had|but got transformer"),
        ("plugins=lightning.pytorch.plugins.DoublePrecision", "but got 64-true"),
        ("strategy=ddp_spawn", "start processes of their own"),
        ("strategy=abc", "invalid strategy name"),
        ("devices=-2", "at least 1, or -1 for all"),
        ("val_check_interval=0", "above 0"),
        ("max_time=abc", "not a valid duration"),
        ("profiler=abc", "profiler"),
        ("barebones=true", "barebones"),
        ("val_check_interval=1000000", "must be less than or equal to the number"),
    ],
)
def test_no_folder_is_left(npz, suite, tmp_path, capsys, flag, message):
    args = [*arguments(npz, tmp_path / "runs", suite, "Standard", epochs=1), f"--trainer.{flag}"]
    assert train(args) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(line) <= 300
    assert re.search(message, line)
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_more_than_a_config_is_kept(tmp_path):
    folders = [tmp_path / "runs" / "a" / "b", tmp_path / "runs" / "a"]
    folders[0].mkdir(parents=True)
    for name in ("config.yaml", "metrics.csv"):
        (folders[0] / name).touch()
    remove_unused(folders)
    assert len(list(folders[0].iterdir())) == 2
    (folders[0] / "metrics.csv").unlink()
    (tmp_path / "runs" / "a" / "c").touch()
    remove_unused(folders)
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["c"]
