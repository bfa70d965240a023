"""Shell completion: the script of a shell knows commands, flags and short names, without torch."""

import re
import shutil
import subprocess
import sys

import pytest

from robust.commands.main import HELP, main
from robust.commands.options import train

pytest.importorskip("shtab")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_knows_what_there_is(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (
        "train",
        "evaluate",
        "squeezed",
        "quick",
        "--suite",
        "robustness",
        "fashion_mnist",
    ):
        assert word in script


def test_every_command_is_completed(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    completed = re.search(r"_shtab_robust_subparsers=\((.*?)\)", script)
    named = re.findall(r"^  ([a-z]+) [A-Z.| ]* ", HELP.split("options:")[0], re.MULTILINE)
    assert len(named) == 12
    assert set(completed[1].replace("'", "").split()) == {*named, *train.SUBCOMMANDS}
    assert "tuna2022" in script


def test_bash_takes_it_and_it_needs_no_torch(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    code = (
        "import sys, robust.commands.completion as completion; completion._parser({})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes_with_it_after_compinit(capsys):
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    begun = 'autoload -Uz compinit; compinit -u -D; eval "$(cat)"; print $_comps[robust]'
    shell = subprocess.run(
        ["zsh", "-f", "-c", begun], input=script, text=True, capture_output=True, check=True
    )
    assert (shell.stdout, shell.stderr) == ("_shtab_robust\n", "")


def test_help(capsys):
    assert main(["completion", "--help"]) == 0
    assert "eval" in capsys.readouterr().out
