"""What is known of classes: the same from their source as from themselves."""

import importlib
import inspect

import pytest

from robust.errors import ConfigError
from robust.loading.classes import Kind, imported_kind, kind_in_source

PLAIN = (int, float, str, bool, type(None))
PACKAGES = ("attacks", "data", "defenses", "networks", "transforms")


def classes():
    """Class paths of all that a config can build from this package."""
    for package in PACKAGES:
        module = importlib.import_module(f"robust.{package}")
        for name in module.__all__:
            kind = getattr(module, name)
            if inspect.isclass(kind) and not getattr(kind, "_is_protocol", issubclass(kind, tuple)):
                yield f"robust.{package}.{name}"


@pytest.mark.parametrize("path", list(classes()))
def test_source_says_what_the_class_says(path):
    read, known = kind_in_source(path), imported_kind(path)
    assert read.name == known.name
    assert read.ancestors == {name for name in known.ancestors if name.startswith("robust.")}
    assert list(read.defaults) == list(known.defaults)
    for key, value in known.defaults.items():
        if isinstance(value, PLAIN) or value is inspect.Parameter.empty:
            assert read.defaults[key] == value


def test_there_are_classes_to_compare():
    assert len(list(classes())) > 40


def test_class_of_another_package_is_what_it_is_called():
    assert kind_in_source("torch.nn.ReLU") == Kind("torch.nn.ReLU", {"torch.nn.ReLU"}, None)


@pytest.mark.parametrize("path", ["robust.defenses.Sqeezed", "robust.nowhere.Net", "robust.Net"])
def test_unknown_classes_are_refused(path):
    for kind_of in (kind_in_source, imported_kind):
        with pytest.raises(ConfigError, match=f"Expected a class in the table, but got '{path}'"):
            kind_of(path)
