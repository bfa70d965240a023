"""A sweep file of a stranger takes no memory without end, and writes where a run may alone."""

from pathlib import Path

import pytest

from robust.errors import ConfigError
from robust.loading.trust import UntrustedError
from robust.sweep.command import check_command
from robust.sweep.file import SweepFile
from robust.sweep.process import Process, Slot
from robust.sweep.summary import shown

HEAD = "program: train.py\nmethod: grid\nmetric: {name: val/clean_acc, goal: maximize}\n"
TEN = "{values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def reader(parameters, head=HEAD):
        Path("s.yaml").write_text(f"{head}parameters: {parameters}\n")
        return SweepFile.read(Path("s.yaml"))

    return reader


@pytest.mark.parametrize(
    "parameters",
    [
        f"{{{', '.join(f'p{n}: {TEN}' for n in range(6))}}}",
        "{x: {distribution: int_uniform, min: 0, max: 1000000000000}}",
        "{x: {min: 0, max: 1000000000000}}",
        "{x: {distribution: q_uniform, min: 0, max: 1000, q: 0.001}}",
        f"{{a: {TEN}, b: {{parameters: {{c: {{min: 0, max: 99999}}, d: {{value: 1}}}}}}}}",
    ],
)
def test_a_grid_without_end_is_refused(parameters, read):
    with pytest.raises(ConfigError, match=r"its grid has \de\+\d+ runs, at most 100,000 can be"):
        read(parameters)
    read(parameters, HEAD.replace("grid", "random") + "run_cap: 1\n")


def test_a_large_grid_is_not(read):
    assert read(f"{{{', '.join(f'p{n}: {TEN}' for n in range(5))}}}").keys[0] == "p0"


def test_a_metric_that_does_not_print_is_refused(read):
    with pytest.raises(ConfigError, match=r"`name` of `metric` in s\.yaml to be a name, but got"):
        read("{x: {value: 1}}", HEAD.replace("val/clean_acc", '"val/\\e[31mx"'))


def test_values_and_errors_of_runs_print_literally(tmp_path):
    for value in ("a\x1b[31m", ["a\x9b", None], {"a": "\u202e"}):
        assert shown(value).isprintable()
    process = Process(["printf", r"error: \033[31mred\n"], tmp_path / "run", Slot("0"), 1)
    process.wait()
    assert process.trouble() == r"\x1b[31mred"


@pytest.mark.parametrize(
    "words",
    [
        ["report", "runs", "-o", "precious"],
        ["evaluate", "runs/a/b", "--output=precious"],
        ["evaluate", "${args}"],
        ["sweep", "other.yaml"],
        ["reproduce", "tuna2022"],
        ["dashboard", "${args}"],
        [],
    ],
)
@pytest.mark.parametrize(
    "head",
    [
        ["robust"],
        ["${env}", "robust"],
        ["${interpreter}", "-m", "robust"],
        ["${env}", "${interpreter}", "${program}"],
    ],
)
def test_a_file_runs_no_command_that_writes_elsewhere(head, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"program": "train.py", "parameters": {}, "command": [*head, *words]}
    with pytest.raises(UntrustedError, match="--trust-command"):
        check_command(SweepFile(Path("s.yaml"), content))


def test_nor_a_module_of_ours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in ("robust.sweep", "robust.commands.main", "robust.__main__"):
        command = ["${interpreter}", "-m", module, "train", "${args}"]
        content = {"program": "train.py", "parameters": {}, "command": command}
        with pytest.raises(UntrustedError):
            check_command(SweepFile(Path("s.yaml"), content))
