"""What is wrong in calls from Python is one line, in the words of Python."""

import io
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest
import rich
import rich.console
from torch import nn

import robust
from robust.commands.process import own_console
from robust.commands.python.answers import in_python
from robust.errors import ConfigError
from robust.tracking.progress import progress_bar

QUIET = {"progress": False, "accelerator": "cpu"}
PGD = {"class_path": "robust.attacks.PGD"}
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def moons():
    return robust.ImageDataModule("moons")


@pytest.fixture(scope="module")
def network(moons):
    return robust.fit(robust.Standard(robust.MLP(hidden=8)), moons, 1, **QUIET)


def bad(call):
    with pytest.raises(ConfigError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 300
    assert "--" not in message
    assert "evaluation." not in message
    return message


def test_objects():
    network = robust.MLP(hidden=8)
    assert "`network` to be a Module, but got None" in bad(lambda: robust.Standard(None))
    assert "Call it: MLP(...)" in bad(lambda: robust.Standard(robust.MLP))
    assert "`temperature` to be a number" in bad(lambda: robust.Squeezed(network, temperature="x"))
    assert "`network` of Squeezed" in bad(lambda: robust.Squeezed(temperature=2.0))
    assert "mean temperature?" in bad(lambda: robust.Squeezed(network, temprature=2.0))
    assert "`dataset` to be a text" in bad(lambda: robust.ImageDataModule(5))
    assert "mean batch_size?" in bad(lambda: robust.ImageDataModule("digits", btch_size=5))
    assert "mean hidden?" in bad(lambda: robust.MLP(hiden=3))
    assert "mean Linf?" in bad(lambda: robust.ThreatModel("Lin", 0.1))
    for kind in (robust.Standard, robust.Squeezed, robust.Distillation, robust.Trades):
        assert "which is a defense" in bad(lambda kind=kind: kind(robust.Standard(network)))
    assert "Give the class" in bad(lambda: robust.Codewords(robust.Standard(network)))


def test_calls(network, moons):
    evaluate = partial(robust.evaluate, network, moons, **QUIET)
    assert "mean suite?" in bad(lambda: evaluate(sute="quick"))
    assert "mean devices?" in bad(lambda: evaluate(device=1))
    assert "`attacks` to be a text or a list of them" in bad(lambda: evaluate(attacks=5))
    assert "`limit` to be an integer or None" in bad(lambda: evaluate(limit="5"))
    assert "mean adaptive?" in bad(lambda: evaluate(views=["adaptve"]))
    assert "mean adaptive?" in bad(lambda: evaluate(views="adaptve"))
    assert "True or False" in bad(lambda: robust.evaluate(network, moons, progress="no"))
    fit = partial(robust.fit, robust.Standard(robust.MLP(hidden=8)), moons)
    assert "`max_epochs` to be an integer" in bad(lambda: fit(max_epochs="3"))
    assert "mean max_epochs?" in bad(lambda: fit(epochs=3))
    assert "`seed` to be 0 to" in bad(lambda: fit(seed=-1))
    assert "the class Standard" in bad(lambda: robust.evaluate(robust.Standard, moons))
    x, y, _ = moons.test_samples(0, 4)
    attack = partial(robust.attack, "pgd", network, x, y)
    assert "mean adaptive?" in bad(lambda: attack(view="adaptve"))
    assert "mean view?" in bad(lambda: attack(viw="adaptive"))
    assert "mean L2?" in bad(lambda: attack(norm="l2"))
    assert "`target` to be an integer" in bad(lambda: attack(target="cat"))
    assert "`seed` to be an integer" in bad(lambda: attack(seed="a"))
    assert "mean trust?" in bad(lambda: robust.load("a", trst=["a"]))


def test_one_word_stands_for_a_list_of_one(network, moons):
    result = robust.evaluate(network, moons, views="adaptive", attacks="fgsm", limit=4, **QUIET)
    assert (result.views, result.attacks) == (["adaptive"], ["fgsm"])


def test_attacks_of_a_suite(network, moons):
    evaluate = partial(robust.evaluate, network, moons, limit=4, **QUIET)
    for spec in ("PGD", "pgd", {"class_path": "PGD"}):
        said = bad(lambda spec=spec: evaluate({"mine": spec}))
        assert "attack `mine`" in said
        assert "Did you mean robust.attacks.PGD?" in said
    assert "torchattacks.VANILA" in bad(lambda: evaluate({"mine": "vanilla"}))
    assert "attack `mine`" in bad(lambda: evaluate({"mine": {**PGD, "eps": 0.1}}))
    assert "mean init_args?" in bad(lambda: evaluate({"mine": {**PGD, "init_arg": {}}}))
    assert "attack `mine`" in bad(lambda: evaluate({"mine": 3}))
    assert "it has none" in bad(lambda: evaluate({"mine": {"init_args": {}}}))
    assert "Rename `atacks`" in bad(lambda: evaluate({"suite": "a", "atacks": {"mine": PGD}}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"export A=1\n", "got text."),
        (b"\x89PNG\r\n" + bytes(99), "got an image."),
        (b"", "an empty file"),
        (b"PK\x03\x04 and no more", "a complete checkpoint"),
    ],
)
def test_what_is_no_checkpoint(content, message):
    Path("a.file").write_bytes(content)
    assert message in bad(lambda: robust.load("a.file"))


def test_a_network_without_a_class_is_not_saved(moons):
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    said = bad(lambda: robust.fit(robust.Standard(network), moons, 1, save="runs/a/b", **QUIET))
    assert "got a Sequential" in said
    assert "class of your own" in said


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_bar_leaves_standard_output_alone(network, moons, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    shared = rich.get_console().__dict__
    with redirect_stdout(Terminal()) as out, redirect_stderr(Terminal()) as err:
        robust.evaluate(network, moons, attacks=["fgsm"], limit=4, accelerator="cpu")
    assert out.getvalue() == ""
    assert "Clean accuracy" in err.getvalue()
    assert rich.get_console().__dict__ is shared


def test_the_console_of_rich_is_put_back(monkeypatch):
    monkeypatch.setattr(rich, "_console", rich.console.Console())  # a command may have changed it
    earlier = rich.get_console().file
    with own_console():
        rich.reconfigure(**progress_bar()._console_kwargs)
        assert rich.get_console().stderr
    assert rich.get_console().file is earlier
    assert not rich.get_console().stderr


def test_words_of_python():
    said = in_python("Expected `evaluation.views` to be a, but got b. Add it: add --trust mine.x.")
    assert said == 'Expected `views` to be a, but got b. Add it: add trust=["mine.x"].'


def test_the_interpreter_can_say_what_was_meant():
    with pytest.raises(AttributeError, match="no attribute 'evalute'") as caught:
        robust.evalute  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("evalute", robust)
