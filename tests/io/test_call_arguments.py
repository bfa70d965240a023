"""Arguments of calls from Python: their names, their types, and what is said of wrong ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from robust.errors import ConfigError
from robust.io.call_arguments import check_arguments, check_type, checked_constructor

Word = Literal["one", "two"]


class Network:
    pass


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (np.int64(3), int),
        (3, float),
        (0.5, float),
        (np.float32(0.5), float | None),
        (None, int | None),
        ("one", Word),
        ("two", Word | Sequence[Word]),
        (["one"], Word | Sequence[Word]),
        (("a", "b"), Sequence[str]),
        (Path("a"), str | Path),
        ({"a": 1}, Mapping[str, Any]),
        (Network, Callable[[int], Network]),
        (lambda n: n, Callable[..., Network]),
        (Network(), Network),
        (object(), Any),
        (True, bool),
    ],
)
def test_what_fits(value, hint):
    check_type("a", value, hint)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("3", int, "`a` to be an integer, but got '3'"),
        (True, int, "an integer, but got True"),
        (3.0, int | None, "an integer or None, but got 3.0"),
        ("x", float, "a number, but got 'x'"),
        (True, float, "a number, but got True"),
        ("no", bool, "True or False, but got 'no'"),
        ("on", Word, r"one of one, two, but got 'on'\. Did you mean one\?"),
        (["tow"], Word | Sequence[Word], r"one, two or a list of them, .*Did you mean two\?"),
        ("ab", Sequence[str], "a list of a text, but got 'ab'"),
        ([1], Sequence[str], r"but got \[1\]"),
        (3, str | Path, "a text or a path, but got 3"),
        ([], Mapping[str, Any], r"a mapping, but got \[\]"),
        (3, Callable[[int], Network], "a class or a function, but got 3"),
        (Network(), Callable[[int], Network], "Give the class Network, or functools.partial"),
        (Network, Network, r"a Network, but got the class Network\. Call it: Network\(\.\.\.\)"),
        (None, Network, "a Network, but got None"),
        ("x" * 999, int, r"but got 'x+\.\.\.\."),
    ],
)
def test_what_does_not_fit(value, hint, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_type("a", value, hint)
    assert len(str(caught.value)) < 300


def call(network, max_epochs: int = 3, *, seed: int = 0, **others):
    """A call with names of its own and others'."""


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1,), {"sed": 3}, r"no argument `sed` of call\. Did you mean seed\?"),
        ((1,), {"epochs": 3}, r"Did you mean max_epochs\?"),
        ((1,), {"acelerator": 3}, r"Did you mean accelerator\?"),
        ((1,), {"zzz": 3}, "It takes: network, max_epochs, seed, others"),
        ((), {}, "a value for `network` of call, but got none"),
        ((1, 2, 3), {}, "call: too many positional arguments"),
        ((1, "2"), {}, "`max_epochs` to be an integer"),
    ],
)
def test_wrong_calls(args, kwargs, message):
    others = lambda: ["min_epochs", "accelerator"]  # noqa: E731
    with pytest.raises(ConfigError, match=message):
        check_arguments(call, "call", args, kwargs, others=others)


def test_right_calls():
    given = check_arguments(call, "call", (1,), {"accelerator": 3}, others=lambda: ["accelerator"])
    assert given == {"network": 1, "others": {"accelerator": 3}}
    assert check_arguments(call, "call", (1, "2"), {}, skip=["max_epochs"])["max_epochs"] == "2"


def test_a_constructor_names_the_class_that_is_built():
    class Base:
        def __init__(self, eps: float = 0.1):
            self.eps = eps

    class Child(Base):
        pass

    checked_constructor(Base)
    assert Child(0.2).eps == 0.2
    with pytest.raises(ConfigError, match=r"`ep` of Child\. Did you mean eps\?"):
        Child(ep=0.2)
