"""An abstract class is answered in one line, with classes that derive from it."""

import pytest

import robust
from robust.attacks.by_name import attack_builder
from robust.commands.evaluate import evaluate
from robust.commands.train import train
from robust.errors import ConfigError
from robust.loading.parsing.abstract import check_concrete, is_abstract
from robust.loading.suites import evaluation_of_suite
from tests.support.tiny import arguments

ATTACKS = "--evaluation.attacks={{a: {{class_path: {}}}}}"


def code_of(command, words):
    try:
        return command(words)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--model=robust.Defense", "robust.defenses."),
        ("--model=robust.defenses.Defense", "robust.defenses."),
        ("--model.network=torch.nn.Module", "robust.networks."),
        ("--model.network=robust.networks.base.SequentialNetwork", "robust.networks."),
        ("--model.optimizer=torch.optim.Optimizer", "torch.optim."),
        ("--model.scheduler=torch.optim.lr_scheduler.LRScheduler", "torch.optim.lr_scheduler."),
        ("--trainer.logger={class_path: lightning.pytorch.loggers.Logger}", "loggers.CSVLogger"),
        (ATTACKS.format("robust.attacks.Attack"), "robust.attacks."),
        (ATTACKS.format("torchattacks.attack.Attack"), "robust.attacks."),
        (ATTACKS.format("robust.attacks.query.base.QueryAttack"), "robust.attacks.BoundaryAttack"),
    ],
)
def test_a_flag_of_a_training(capsys, npz, suite, tmp_path, quiet, flag, meant):
    assert code_of(train, [*arguments(npz, tmp_path / "runs", suite), flag]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is abstract. Name one that derives from it, such as " in line
    assert f" {meant}" in line or f".{meant}" in line
    assert len(line) <= 300
    assert not (tmp_path / "runs").exists()


def test_a_suite_of_evaluate(capsys, trained, tmp_path, quiet):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "suite: mine\nthreat_model: {norm: Linf, eps: 0.1}\n"
        "attacks: {a: {class_path: robust.attacks.Attack}}\n"
    )
    assert evaluate([str(trained["standard"]), f"--suite={file}"]) == 2
    assert "robust.attacks.Attack is abstract. Name one that" in capsys.readouterr().err


@pytest.mark.parametrize("attack", [robust.attacks.Attack, "robust.attacks.Attack"])
def test_a_suite_of_python(attack):
    with pytest.raises(ConfigError, match=r"is abstract\. Name one that derives from it"):
        evaluation_of_suite({"mine": attack})


def test_an_attack_of_python():
    with pytest.raises(ConfigError, match=r"the class of an attack, .* but got Attack"):
        attack_builder(robust.attacks.Attack, {}, {})


def test_a_defense_of_a_user_lacks_something():
    class Mine(robust.Defense):
        def adaptive_view(self):
            return self

    with pytest.raises(ConfigError, match=r"mine\.Mine is abstract\. Define training_loss in it\."):
        check_concrete(Mine, "mine.Mine")
    assert not is_abstract(robust.Squeezed)
