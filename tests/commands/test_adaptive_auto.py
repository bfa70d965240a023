"""`--adaptive auto` and `view_from="auto"`: more views are looked for, tried and attacked."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import robust
from robust.commands.main import main
from robust.results.records import read_evaluation
from tests.support.bars import Bars, bars

pytestmark = pytest.mark.usefixtures("quiet")
PGD = {"pgd": {"class_path": "robust.attacks.PGD", "init_args": {"steps": 5, "loss": "margin"}}}
SUITE = {"suite": "tiny", "threat_model": {"norm": "Linf", "eps": 0.5}, "attacks": PGD}


class OneHot(nn.Module):
    """It gives no gradient."""

    def __init__(self):
        super().__init__()
        self.network = Bars()

    def forward(self, x):
        return F.one_hot(self.network(x).argmax(dim=1), 4).float()


def images():
    x, y = bars(count=24)
    return (x * 255).round() / 255, y


def test_python_looks_for_views():
    own = robust.evaluate(OneHot(), images(), SUITE, progress=False)
    found = robust.evaluate(OneHot(), images(), SUITE, view_from="auto", progress=False)
    for result in (own, found):
        assert result.robust_accuracy("deployed").value == 1
    assert own.robust_accuracy("adaptive").value == 1
    assert found.robust_accuracy("adaptive").value < 0.5
    assert found.verdict.word == "masked"
    said = [note for note in found.evaluation.notes if note.startswith("auto: ")]
    assert len(said) == 3
    assert "argmax" in said[0]
    headers = [result.evaluation.header for result in (own, found)]
    assert headers[0].adaptive_sha256 != headers[1].adaptive_sha256
    assert headers[0].model_sha256 == headers[1].model_sha256


def test_another_word_is_refused():
    with pytest.raises(robust.errors.ConfigError, match="Did you mean auto"):
        robust.evaluate(OneHot(), images(), SUITE, view_from="autoo")


def test_the_command_looks_for_views_of_a_run(unattacked, suite, capsys):
    words = ["evaluate", str(unattacked), "--suite", str(suite), "-n", "8", "--attacks", "fgsm"]
    for more in ([], ["--adaptive=auto"], ["--view-from=auto"]):
        assert main([*words, *more]) == 0
    assert "auto: found" in capsys.readouterr().out
    files = sorted((unattacked / "records").glob("*.csv"))
    assert len(files) == 2  # both words ask for the same
    notes = [" ".join(read_evaluation(file).notes) for file in files]
    assert sorted("auto: attacked through own" in text for text in notes) == [False, True]


def test_a_loaded_run_has_it_too(unattacked):
    result = robust.load(unattacked).evaluate(SUITE, limit=8, view_from="auto", progress=False)
    assert any(note.startswith("auto: found") for note in result.evaluation.notes)


def test_a_network_for_numpy_is_attacked_through_its_deployed_view_too():
    network = Bars()

    def deployed(x):
        return torch.from_numpy(network(x).detach().numpy().copy())

    result = robust.evaluate(deployed, images(), SUITE, progress=False)
    assert result.robust_accuracy("deployed").value == 1
