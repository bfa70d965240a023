"""The fuzzer finds what it is to find, and gives an input again from a few words."""

import hypothesis
import pytest

from tests.fuzz.oracle import faults, snapshot
from tests.fuzz.targets import TARGETS, Input, rounds
from tests.fuzz.world import write_inputs
from tests.fuzz.zygote import Outcome

TRACEBACK = (
    'Traceback (most recent call last):\n  File "/a/robust/b.py", line 3, in c\nKeyError: 5\n'
)
RECORDS = b"view,attack\na,1\nb,2\n"
BEFORE = {
    "runs/a/config.yaml": b"a: 1\n",
    "runs/a/records/s.csv": RECORDS,
    "runs/a/records/s.part0.csv": b"c,3\nd,",
    "runs/a/checkpoints/last.ckpt": b"PK",
    "tables.md": b"old",
}


def ended(code=0, err="", out="", stopped=""):
    return Outcome(code, out, err, 0.1, 1 << 20, stopped)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (ended(1, TRACEBACK), "traceback: KeyError: # [robust/b.py c]"),
        (ended(0, out=TRACEBACK), "traceback: nothing was said [outside]"),
        (ended(1, "error: a\n"), "exit code 1: error: a"),
        (ended(3, "error: a\n"), "exit code 3: error: a"),
        (ended(2), "0 error lines: nothing was said"),
        (ended(2, "error: a\nerror: b\n"), "2 error lines: error: b"),
        (ended(2, f"error: {'a' * 300}\n"), "a long error line"),
        (ended(2, "error: a\x1b[31m\n"), "control character"),
        (ended(-11), "ended by signal 11"),
        (ended(-9, stopped="memory"), "too much memory"),
    ],
)
def test_how_a_command_may_not_end(outcome, kind):
    (found,) = faults("train.py", [], outcome, BEFORE, BEFORE)
    assert found.startswith(kind)


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("train.py", ended(0, "Seed set to 0\n", "a table\n")),
        ("train.py", ended(2, "Seed set to 0\nerror: Expected a, but got b. Do c.\n")),
        ("evaluate.py", ended(2, "usage: evaluate.py\nevaluate.py: error: expected a\n")),
        ("sweep", ended(1, "Ended after 3 failed runs in a row\n")),
        ("train.py", ended(143)),
    ],
)
def test_how_a_command_may_end(program, outcome):
    assert not faults(program, [], outcome, BEFORE, BEFORE)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"runs/a/config.yaml": None}, "lost: runs/a/config.yaml"),
        ({"runs/a/config.yaml": b"a: 2\n"}, "lost: runs/a/config.yaml"),
        ({"runs/a/records/s.csv": b"view,attack\na,1\n"}, "lost: runs/a/records/s.csv"),
        ({"runs/a/records/s.part0.csv": None}, "lost: runs/a/records/s.part0.csv"),
        ({"runs/a/checkpoints/last.ckpt": b"PKPK"}, "lost: runs/a/checkpoints/last.ckpt"),
        ({"tables.md": b""}, "emptied: tables.md"),
        ({"runs/a/records/s.new": b"half"}, "left behind: runs/a/records/s.new"),
    ],
)
def test_what_a_command_may_not_change(changed, kind):
    assert faults("evaluate.py", [], ended(), BEFORE, after(changed)) == [kind]


@pytest.mark.parametrize(
    ("program", "changed"),
    [
        ("train.py", {"runs/a/config.yaml": b"a: 2\n", "runs/a/config.1.yaml": b"a: 1\n"}),
        ("train.py", {"runs/a/checkpoints/last.ckpt": b"PKPK"}),
        (
            "evaluate.py",
            {"runs/a/records/s.csv": RECORDS + b"c,3\n", "runs/a/records/s.part0.csv": None},
        ),
        ("evaluate.py", {"tables.md": b"new"}),
    ],
)
def test_what_a_command_may_change(program, changed):
    assert not faults(program, [], ended(), BEFORE, after(changed))


def after(changed):
    return {path: content for path, content in {**BEFORE, **changed}.items() if content is not None}


@hypothesis.settings(max_examples=10, derandomize=True, deadline=None, database=None)
@hypothesis.given(rounds())
def test_an_input_is_a_few_words(tmp_path_factory, tried):
    assert [one.target for one in tried] == list(TARGETS)
    assert [Input.parse(str(one)) for one in tried] == list(tried)
    worlds = [tmp_path_factory.mktemp("world") / "a" for _ in range(2)]
    for world in worlds:
        write_inputs(world)
    first, second = ([one.apply(world) for one in tried] for world in worlds)
    assert first == second
    assert _contents(worlds[0]) == _contents(worlds[1])


def _contents(world):
    # A link names the folder that it is in.
    return {
        path: b"" if content.startswith(b"link") else content
        for path, content in snapshot(world).items()
    }
