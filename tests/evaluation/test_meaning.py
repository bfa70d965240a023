"""Text about code may change; what the code does may not."""

import hashlib
import subprocess
from itertools import product
from pathlib import Path

import pytest

from robust.evaluation.meaning import meaning
from tests.support.cases import of_all
from tests.support.tiny import ROOT

SOURCE = '''"""A module."""
from torch import relu as f
from robust.losses import log_odds

__all__ = ["A"]
LIMIT = 3  # a comment
"""What it bounds."""

class A:
    """A class."""
    def step(self, x: int, *rest: int) -> float:
        """A docstring."""
        return f"{f(x):.2f} of {LIMIT}" if x > 1e-3 else log_odds(x, *rest)[1:, None]
'''

SAME = [
    ('"""A module."""', '"""Something else."""'),
    ("# a comment", "# another comment"),
    ('"""What it bounds."""\n', ""),
    ('        """A docstring."""\n', ""),
    ("LIMIT = 3", "\n\nLIMIT    =   (3)"),
    ('__all__ = ["A"]', '__all__ = ["A", "LIMIT"]'),
    ("from robust.losses import log_odds", "from robust.objectives import log_odds"),
    ("from robust.losses import log_odds", "from .losses import log_odds"),
    ("1e-3", "0.001"),
]
OTHER = [
    ("LIMIT = 3", "LIMIT = 4"),
    ("LIMIT = 3", "LIMIT = 3.0"),
    ("x > 1e-3", "x >= 1e-3"),
    ("[1:, None]", "[1:]"),
    ("import relu as f", "import tanh as f"),
    ("from torch import", "from torch.nn.functional import"),
    ("import log_odds", "import margin as log_odds"),
    ("def step", "def steps"),
    (".2f", ".3f"),
    ("x: int", "x: int = 0"),
    ("*rest)[", "rest)["),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_what_says_nothing_to_the_interpreter_does_not_count(old, new):
    assert old in SOURCE
    assert meaning(SOURCE.replace(old, new)) == meaning(SOURCE)


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_a_changed_statement_counts(old, new):
    assert old in SOURCE
    assert meaning(SOURCE.replace(old, new, 1)) != meaning(SOURCE)


def test_a_file_that_only_hands_names_on_means_nothing():
    assert meaning('"""Doc."""\nfrom robust.a import B\n__all__ = ["B"]\n') == ""


def test_it_is_the_same_on_every_python():
    """Known answers; `make test-pythons` asks the same of each Python."""
    assert meaning("def f(x, *, y=2):\n    return [*x, -y] if x else {1: b'a'}") == (
        "FunctionDef(name='f', args=arguments(args=[arg(arg='x')], kwonlyargs=[arg(arg='y')], "
        "kw_defaults=[Constant(value=2)]), body=[Return(value=IfExp(test=Name(id='x'), "
        "body=List(elts=[Starred(value=Name(id='x')), UnaryOp(op=USub(), operand=Name(id='y'))]), "
        "orelse=Dict(keys=[Constant(value=1)], values=[Constant(value=b'a')])))])"
    )


def hash_here(folder):
    """Of the meanings of all files of a folder, by this Python."""
    text = "".join(meaning(path.read_bytes()) for path in sorted(folder.rglob("*.py")))
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("version", "folder"),
    of_all(product(["3.12", "3.13"], ["attacks", "."]), default=[("3.13", "attacks")]),
)
def test_other_pythons_agree_on_every_attack(version, folder):
    other = python(version)
    if other is None:
        pytest.skip(f"no Python {version} here")
    code = (
        "import sys, hashlib, pathlib; sys.path.insert(0, sys.argv[1]);"
        "from meaning import meaning;"
        "text = ''.join(meaning(p.read_bytes()) for p in sorted(pathlib.Path(sys.argv[2])"
        ".rglob('*.py')));"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    folder = ROOT / "robust" / folder
    asked = [str(ROOT / "robust" / "evaluation"), str(folder)]
    words = [other, "-I", "-c", code, *asked]
    there = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    assert there.strip() == hash_here(folder)


def python(version):
    """Another Python of pyenv's, whose own library is all that is needed."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(found[-1]) if found else None
