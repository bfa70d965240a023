"""What is wrong with a suite is said before a network from elsewhere is tried for minutes."""

import pytest

from robust.commands import evaluate as command

SUITE = """
suite: mine
threat_model: {{norm: Linf, eps: {eps}}}
attacks: {{a: {{class_path: {path}, init_args: {{{argument}}}}}}}
"""


@pytest.mark.parametrize(
    ("suite", "more", "message"),
    [
        ({"eps": -1}, [], "`eps` to be non-negative"),
        ({"argument": "stesp: 3"}, [], "'stesp' of robust.attacks.PGD. Did you mean steps?"),
        ({"argument": "steps: many"}, [], "`steps`"),
        ({"path": "robust.attacks.PDG", "argument": ""}, [], "'PDG' in robust.attacks"),
        ({}, ["--attacks=b"], "attacks of the suite (a), but got 'b'"),
        ({}, ["--view=deployed", "--eps=7"], "Did you mean 7/255?"),
        ({}, ["--limit=0"], "at least 1"),
    ],
)
def test_it_is_one_line(capsys, tmp_path, monkeypatch, quiet, suite, more, message):
    def tried(options):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(command, "network_run", tried)
    file = tmp_path / "mine.yaml"
    usual = {"eps": 0.1, "path": "robust.attacks.PGD", "argument": "steps: 3"}
    file.write_text(SUITE.format(**usual | suite))
    network = ["weights.pt", "--network=torch.nn:Flatten", "--data=mnist"]
    assert command.evaluate([*network, f"--suite={file}", *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert len(line) <= 300


def test_a_suite_that_is_sound_comes_to_the_network(tmp_path, monkeypatch, quiet):
    def tried(options):
        raise AssertionError("the network was tried")

    monkeypatch.setattr(command, "network_run", tried)
    with pytest.raises(AssertionError, match="was tried"):
        command.evaluate(["weights.pt", "--network=torch.nn:Flatten", "--data=mnist"])
