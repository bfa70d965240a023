"""`robust measure attack_unit_test` tries the attacks of a suite, and attacks no test image."""

import json

import pytest

from robust.commands.main import main
from robust.commands.options.evaluate import parse_options


@pytest.mark.parametrize(
    ("words", "suite"),
    [
        (["--attack-unit-test=quick"], None),
        (["--attack-unit-test=quick", "--eps=0.1", "--attacks", "pgd"], None),
        (["--attack-unit-test=quick", "--suite=standard"], "standard"),
        (["--attack-unit-test=quick", "--grid=pgd"], "quick"),
    ],
)
def test_its_suite_is_not_attacked(words, suite):
    options = parse_options(["run", *words])
    assert options.attack_unit_test.stem == "quick"
    assert (options.suite and options.suite.stem) == suite


@pytest.mark.usefixtures("quiet")
def test_a_table_says_what_each_attack_finds(unattacked, suite, tmp_path, capsys):
    words = ["measure", "attack_unit_test", str(unattacked), f"--suite={suite}", "--limit=3"]
    output = tmp_path / "found.md"
    assert main([*words, "--attacks", "fgsm", "pgd", "--output", str(output)]) == 0
    assert "Attack unit test in %, suite tiny, n = 3" in capsys.readouterr().out
    lines = [line.strip("| ").split(" | ") for line in output.read_text().splitlines()]
    rows = [line[:4] for line in lines if line[0] == "squeezed/a"]
    assert rows == [
        ["squeezed/a", view, attack, "Linf 0.3"]
        for view in ("deployed", "adaptive")
        for attack in ("fgsm", "pgd")
    ]
    assert not (unattacked / "records").exists()
    assert main([*words, "--features=layers.2"]) == 2
    assert "Did you mean layers.1?" in capsys.readouterr().err


@pytest.mark.usefixtures("quiet")
def test_an_evaluation_takes_the_layer_too(unattacked, suite, capsys):
    words = ["evaluate", str(unattacked), f"--suite={suite}", "--limit=3", "--evidence=quick"]
    assert main([*words, "--features=layers.2"]) == 2
    assert "Did you mean layers.1?" in capsys.readouterr().err
    assert not list(unattacked.glob("records/*.csv"))  # before any attack
    assert main([*words, "--features=layers.1"]) == 0
    (head,) = unattacked.glob("records/*.json")
    assert json.loads(head.read_text())["evidence"]["features"] == "layers.1"
