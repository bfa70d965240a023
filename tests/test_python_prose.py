"""The checker of Python files finds each kind of fault in docstrings, comments, texts and names."""

import pytest

from tests.support.prose import files, main
from tests.support.python_prose import faults

SENTENCE = " ".join(["word"] * 25) + "."
LONG = f"word {SENTENCE}"


def texts(source):
    return [fault.text for fault in faults(source)]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('"""The net."""', "'net': write network"),
        ('"""Fine."""\nNAME = 1\n"""The net."""', "'net': write network"),
        ('def f():\n    """It is `one` net."""', "'net': write network"),
        (
            'class A:\n    """Fine.\n\n    Args:\n        x: The net.\n    """',
            "'net': write network",
        ),
        (f'"""{LONG}"""', "26 words, at most 25: word word"),
        (f'"""Fine.\n\nArgs:\n    x: {LONG}\n"""', "26 words, at most 25: word word"),
        (f'"""Fine.\n\n{LONG[:60]}\n{LONG[60:]}\n"""', "26 words, at most 25: word word"),
        (f'"""``a b`` {SENTENCE}"""', "26 words, at most 25: CODE word"),
        ('"""Images without a verb or an end"""', "no sentence at the start: Images without"),
        ('def f():\n    """First\n\n    It is fine."""', "no sentence at the start: First"),
        ('"""Of a net: images."""', "'net': write network"),
        ("x = 1  # of the net", "'net': write network"),
        (f"# {LONG[:60]}\n# {LONG[60:]}", "26 words, at most 25: word word"),
        ('raise ValueError("Expected one net")', "'net': write network"),
        ('raise ValueError(f"Expected {x} net")', "'net': write network"),
        ('text = "It is " "broken now"', "'broken': write misclassified, or an attack succeeds"),
        ("net = 1", "name net: 'net': write network"),
        ("self.my_nets = 1", "name my_nets: 'nets': write network"),
        ("class NetOfTwo:\n    pass", "name NetOfTwo: 'net': write network"),
        ("def turned_images():\n    pass", "name turned_images: 'turned': write misclassified"),
        ("def f(whole, *, b=1):\n    pass", "name whole: 'whole': write complete, full or all"),
        ("for net in ():\n    pass", "name net: 'net': write network"),
    ],
)
def test_each_fault_is_found(source, fault):
    assert any(found.startswith(fault) for found in texts(source))


@pytest.mark.parametrize(
    "source",
    [
        f'"""{SENTENCE}\n\n{SENTENCE}\n\nArgs:\n    x: {SENTENCE}\n    y: {SENTENCE}\n"""',
        f'"""Fine.\n\nRaises:\n    ValueError: {SENTENCE}\n"""',
        '"""Fine.\n\n    >>> net = whole + draws\n"""',
        '"""The argument ``net`` and `whole`; the command `robust draw`, --draw."""',
        f"# {SENTENCE}\nx = 1\n# {SENTENCE}",
        f"x = 1  # {SENTENCE}\ny = 1  # {SENTENCE}",
        "import net  # noqa: whole\nnet.whole(draws)",
        'key = "whole"\nother = f"{net}"',
        'text = f"{whole} is one"',
        "def draw(network):\n    pass",
        'line = "draw progress ."',
        'message = "go on with --skip-broken"',
        'message = "Did you mean train? fit, dashboard, draw, evaluate"',
    ],
)
def test_what_is_right_passes(source):
    assert texts(source) == []


def test_a_fault_has_its_line():
    source = '"""Fine.\n\nnets\n"""\n\n# Fine,\n# nets.\n\nnet = 1\n'
    assert [fault.line for fault in faults(source)] == [3, 7, 9]


def test_a_folder_is_read_with_those_below_it(tmp_path, capsys):
    path = tmp_path / "a" / "b.py"
    path.parent.mkdir()
    path.write_text("net = 1\n")
    assert files(tmp_path) == [path]
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{path}:1: name net: 'net': write network\n"
