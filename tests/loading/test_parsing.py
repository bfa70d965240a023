import contextlib
import os
import sys

import pytest

from robust.commands.process import run_command
from robust.defenses import Squeezed, Standard
from robust.errors import ConfigError
from robust.loading.messages import explain, nearest
from robust.loading.parsing.fractions import read_yaml
from robust.loading.restore import check_fits, restore
from robust.loading.suites import read_suite
from tests.support.forkserver import FORKSERVER
from tests.support.tiny import TinyNetwork

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eps: 8/255", {"eps": 8 / 255}),
        ("a: {b: [1/2, x/2]}", {"a": {"b": [0.5, "x/2"]}}),
        ("path: ./1/2", {"path": "./1/2"}),
        ("day: 1/0", {"day": "1/0"}),
    ],
)
def test_read_yaml(tmp_path, text, expected):
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"a: [1", "line .: did not find"),
        (b"- 1", "holds list"),
        (b"\xff", "UTF-8 in .* 0xff in line 1"),
    ],
)
def test_read_yaml_refuses(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_read_suite_replaces_settings(suite):
    read = read_suite(suite, limit=3, views=["adaptive"])
    assert (read.limit, read.views, read.block) == (3, ("adaptive",), 8)


def test_restore(trained):
    defense, data = restore(trained["squeezed"] / "checkpoints" / "last.ckpt")
    assert isinstance(defense, Squeezed)
    assert not defense.training
    assert (data.shape, data.num_classes) == ((1, 28, 28), 10)
    x, y, _ = data.test_samples(0, 30)
    assert (defense(x).argmax(dim=1) == y).float().mean() > 0.5


def checkpoint_of(model, **changes):
    kind = f"robust.defenses.{type(model).__name__}"
    content = {
        "state_dict": model.state_dict(),
        "robust": {"model": {"class_path": kind}, "data": {"class_path": "x.Y"}},
        "loops": {},
        "optimizer_states": [],
        "pytorch-lightning_version": "2.6.6",
    }
    return {key: value for key, value in {**content, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (
            checkpoint_of(Standard(TinyNetwork())),
            "checkpoint of Squeezed at p, but it is of robust",
        ),
        (checkpoint_of(Squeezed(TinyNetwork(7))), r"of shape \(10, 784\) in the .* got \(7, 784\)"),
        (checkpoint_of(Squeezed(TinyNetwork()), state_dict={}), "but got None"),
        (checkpoint_of(Squeezed(TinyNetwork()), loops=None), "has no loops"),
    ],
)
def test_check_fits_refuses(checkpoint, message):
    with pytest.raises(ConfigError, match=message):
        check_fits(checkpoint, "p", Squeezed(TinyNetwork()), training=True)


def test_check_fits_asks_for_weights_only_unless_training():
    checkpoint = checkpoint_of(
        Squeezed(TinyNetwork()), loops=None, optimizer_states=None, robust=None
    )
    check_fits(checkpoint, "p", Squeezed(TinyNetwork()), training=False)


def print_to(writing, errors, asked, letters):
    """Run a command that prints so many letters to a pipe, once ``asked`` has ended."""
    os.dup2(writing.fileno(), 1)
    sys.stdout = os.fdopen(1, "w")
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    writing.close()
    with contextlib.suppress(EOFError):
        asked.recv()
    sys.exit(run_command(lambda: print("x" * letters)))


@pytest.mark.parametrize("letters", [1, 10**6])
def test_run_command_lets_a_reader_stop_reading(tmp_path, letters):
    """Of more than a buffer holds; and of a letter, which is written at the end."""
    reading, writing = FORKSERVER.Pipe(duplex=False)
    asked, asking = FORKSERVER.Pipe(duplex=False)
    errors = tmp_path / "errors.txt"
    process = FORKSERVER.Process(target=print_to, args=(writing, str(errors), asked, letters))
    process.start()
    for end in (reading, writing, asked, asking):
        end.close()
    process.join(60)
    assert (errors.read_text(), process.exitcode) == ("", 141)


def test_run_command_keeps_the_traceback_of_another_closed_pipe():
    def command():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_command(command)


def test_run_command_keeps_the_traceback_of_a_defect():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


def test_run_command_keeps_the_traceback_of_a_value_error_of_ours():
    with pytest.raises(ValueError, match="invalid literal"):
        run_command(lambda: int("x"))


def test_run_command_finds_the_cause(capsys):
    def command():
        try:
            raise ConfigError("Expected a,\n  but got b.")
        except ConfigError as error:
            raise ValueError("wrapped") from error

    assert run_command(command) == 2
    assert capsys.readouterr().err == "error: Expected a, but got b.\n"


def test_nearest():
    assert nearest("temperatur", ["temperature", "transform"]) == " Did you mean temperature?"
    assert nearest("xyz", ["temperature"]) == ""


def test_explain_of_what_it_does_not_know():
    assert explain("something\n  else") == "something else"
